//! A page as JSON, for programs, where a command has no document of its own: the blocks with the data of their plots.

use serde_json::json;

use super::medium::Medium;
use crate::report::page::Page;

/// What a page's document is called.
const SCHEMA: &str = "effbench.page/1";

/// One document.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl Medium for Json {
    fn show(&self, page: &Page) -> Option<String> {
        let mut document = json!({ "schema": SCHEMA });
        document["page"] = serde_json::to_value(page).ok()?;
        Some(format!("{document:#}"))
    }
}
