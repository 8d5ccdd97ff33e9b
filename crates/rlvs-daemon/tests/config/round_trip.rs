//! Nothing is lost between the forms.

use crate::models;
use proptest::prelude::*;
use rlvs_daemon::config::report::Level;
use rlvs_daemon::config::source::Memory;
use rlvs_daemon::config::{keepalived, toml};
use std::path::Path;

proptest! {
    #[test]
    fn model_to_toml_to_model(config in models::config()) {
        let text = toml::write(&config);
        let (again, report, _) = toml::read(Path::new("f"), &Memory::one("f", &text));
        prop_assert!(report.diagnostics().is_empty(), "{report}\n{text}");
        prop_assert_eq!(again, config, "{}", text);
    }

    #[test]
    fn model_to_keepalived_to_model(mut config in models::config()) {
        keepalived::forget(&mut config);
        let text = keepalived::write(&config);
        let (again, report, _) = keepalived::read(Path::new("f"), "host", &Memory::one("f", &text));
        // Of an unknown protocol there is no word, all others are written.
        prop_assert_eq!(report.count(Level::Error) + report.count(Level::Warning), 0, "{}\n{}", report, text);
        prop_assert_eq!(again, config, "{}", text);
    }
}
