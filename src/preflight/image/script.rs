//! The checks as one script each for `python -I -c`.

use crate::api::Check;

/// One part as an assignment. Its text may hold no three single quotes, which a test of the parts sees to.
macro_rules! part {
    ($name:literal) => {
        concat!("SOURCES['", $name, "'] = r'''", include_str!(concat!("../probe/", $name, ".py")), "'''\n")
    };
}

/// The same text as `probe/bundle.py` prints.
macro_rules! script {
    ($($name:literal),+) => {
        concat!("import sys, types\nSOURCES = {}\n", $(part!($name)),+, r#"
CHILD = SOURCES.pop("child", None)
for name in SOURCES:
    module = sys.modules[name] = types.ModuleType(name)
    module.CHILD = CHILD
    exec(compile(SOURCES[name], name + ".py", "exec"), module.__dict__)
module.main(sys.argv[1] if len(sys.argv) > 1 else "{}")
"#)
    };
}

/// What a check's container runs. At most about 35 kB; Linux allows 128 KiB for one argument.
pub fn script(check: Check) -> &'static str {
    match check {
        Check::Inspect => script!("child", "children", "answer", "objects", "inspect_image"),
        Check::Stress => script!("children", "answer", "stress"),
        Check::Benchmark => script!("children", "answer", "benchmark"),
    }
}
