//! The inspection as one script for `python -I -c`.

/// One part as an assignment. Its text may hold no three single quotes, which a test of the parts sees to.
macro_rules! part {
    ($name:literal) => {
        concat!("SOURCES['", $name, "'] = r'''", include_str!(concat!("../probe/", $name, ".py")), "'''\n")
    };
}

/// What the Job's pod runs: the same text as `probe/bundle.py` prints. About 35 kB; Linux allows 128 KiB for one argument.
pub const SCRIPT: &str = concat!(
    "import sys, types\nSOURCES = {}\n",
    part!("child"),
    part!("children"),
    part!("objects"),
    part!("inspect_image"),
    r#"
for name in "children", "objects", "inspect_image":
    module = sys.modules[name] = types.ModuleType(name)
    module.CHILD = SOURCES["child"]
    exec(compile(SOURCES[name], name + ".py", "exec"), module.__dict__)
sys.modules["inspect_image"].main(sys.argv[1] if len(sys.argv) > 1 else "{}")
"#
);
