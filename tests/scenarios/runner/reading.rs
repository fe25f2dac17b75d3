//! Reads scenarios and manifests. Errors name the file and the step.

use std::{fs, path::Path};

use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    Result,
    vocabulary::{Expected, ExpectedEndpoints, ExpectedGone, Scenario, Step},
};

impl Scenario {
    /// Reads `<folder>/scenario.yaml`. Errors name the file and the step.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("scenario.yaml");
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut document = yaml(&path)?;
        let steps = document.as_object_mut().and_then(|top| top.remove("steps"));
        let setting = serde_json::from_value(document).map_err(|e| format!("{}: {e}", path.display()))?;
        let Some(Value::Array(steps)) = steps else {
            return Err(format!("{}: steps is missing or no list", path.display()).into());
        };
        let steps = steps
            .into_iter()
            .enumerate()
            .map(|(index, step)| {
                let word = first_word(&step);
                serde_json::from_value(step)
                    .map_err(|e| format!("{}: step {} ({word}): {e}", path.display(), index + 1))
            })
            .collect::<std::result::Result<Vec<Step>, String>>()?;
        for (index, step) in steps.iter().enumerate() {
            step.check().map_err(|e| format!("{}: step {}: {e}", path.display(), index + 1))?;
        }
        Ok(Self { name, setting, steps })
    }
}

impl Step {
    /// A wait without a deadline could wait for ever.
    fn check(&self) -> std::result::Result<(), &'static str> {
        let within = match self {
            Self::Wait(Expected { within, .. })
            | Self::Expect(Expected { within, .. })
            | Self::ExpectEndpoints(ExpectedEndpoints { within, .. })
            | Self::ExpectGone(ExpectedGone { within, .. }) => within,
            Self::ExpectCounts(counts) if counts.at_least.is_some() => &counts.within,
            _ => return Ok(()),
        };
        within.map(|_| ()).ok_or("within is missing: every wait has a deadline, such as within: 30s")
    }
}

fn first_word(step: &Value) -> String {
    match step {
        Value::String(word) => word.clone(),
        Value::Object(map) => map.keys().next().cloned().unwrap_or_default(),
        _ => "?".into(),
    }
}

/// Reads one YAML document.
pub(crate) fn yaml(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_yaml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()).into())
}

/// Reads all YAML documents of a file.
pub(crate) fn yaml_documents(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let value = Value::deserialize(document).map_err(|e| format!("{}: {e}", path.display()))?;
        if !value.is_null() {
            documents.push(value);
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<Scenario, String> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("scenario-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("scenario.yaml"), text).unwrap();
        let read = Scenario::read(&folder).map_err(|e| e.to_string());
        fs::remove_dir_all(&folder).unwrap();
        read
    }

    const HEAD: &str = "description: d\nstandard: {replicas: 3}\nrps: 100\nsteps:\n";

    #[test]
    fn every_scenario_of_the_repository_reads() {
        let mut count = 0;
        for entry in fs::read_dir("tests/scenarios").unwrap() {
            let folder = entry.unwrap().path();
            if folder.join("scenario.yaml").exists() {
                Scenario::read(&folder).unwrap();
                count += 1;
            }
        }
        assert!(count > 0);
    }

    #[test]
    fn one_and_several_phases_read() {
        let text = format!(
            "{HEAD}- wait: {{phase: Hybrid, within: 5s}}\n- expect: {{phase: [Hybrid, Paused], within: 5s}}\n- lift\n"
        );
        assert_eq!(read(&text).unwrap().steps.len(), 3);
    }

    #[test]
    fn errors_name_file_step_and_word() {
        let error = read(&format!("{HEAD}- rate: 5\n- wait: {{phaze: Hybrid, within: 5s}}\n")).unwrap_err();
        assert!(error.contains("scenario.yaml: step 2 (wait): unknown field `phaze`"), "{error}");
        let error = read(&format!("{HEAD}- wait: {{phase: Hybrid}}\n")).unwrap_err();
        assert!(error.contains("step 1: within is missing"), "{error}");
    }
}
