//! Renderers: the same page as text for a terminal, as Markdown, as one HTML file, as JSON, and of its first plot and its main
//! table as files of their own.

pub mod medium;
mod lines;
mod grid;
mod plot;
#[cfg(test)]
mod plot_tests;
mod svg;
mod characters;
pub mod text;
pub mod brief;
pub mod markdown;
pub mod html;
pub mod json;
pub mod csv;
pub mod picture;

pub use csv::Csv;
pub use html::Html;
pub use json::Json;
pub use markdown::Markdown;
pub use medium::{Medium, Style};
pub use picture::Picture;
pub use text::Text;
