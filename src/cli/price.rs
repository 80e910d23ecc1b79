//! `--price`: whose prices turn seconds and joules into money and carbon; commands flatten it.

use clap::Args;

use crate::config::{Library, Price};
use crate::error::Result;

/// Whose prices to count with.
#[derive(Debug, Clone, Args)]
pub struct PriceArgs {
    /// Prices of machines, energy and carbon: a file of yours, which says only what differs from the default's.
    #[arg(long, default_value = "default", value_name = "FILE")]
    pub price: String,
}

impl PriceArgs {
    /// Reads the prices.
    pub fn load(&self) -> Result<Price> {
        Library::builtin().price(&self.price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        price: PriceArgs,
    }

    fn load(line: &[&str]) -> Result<Price> {
        Command::try_parse_from(["command"].iter().chain(line))
            .unwrap()
            .price
            .load()
    }

    #[test]
    fn prices_are_the_shipped_ones_or_a_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let name = path.to_string_lossy();
        std::fs::write(&path, "[energy]\npue = 1.1\n").unwrap();
        let (shipped, mine) = (load(&[]).unwrap(), load(&["--price", &name]).unwrap());
        assert_eq!(
            (shipped.name.as_str(), mine.name.as_str(), mine.pue.value),
            ("default", "mine", 1.1)
        );
        assert_eq!(
            (mine.hardware.figure().value, mine.currency),
            (shipped.hardware.figure().value, shipped.currency)
        );

        let refused = |line: &[&str]| load(line).unwrap_err().to_string();
        assert_eq!(
            refused(&["--price", "defualt"]),
            "unknown price `defualt`\nhint: did you mean `default`?"
        );
        assert!(
            refused(&["--price", "no-such.toml"])
                .starts_with("cannot read the price no-such.toml: ")
        );
    }
}
