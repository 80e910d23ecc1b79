//! Every row of every catalog, and every variant that ships, obeys the law; and faulty kinds are caught, each by the rule that is
//! for its fault.
#![cfg(feature = "run")]

use effbench::config::Library;
use effbench::law::{self, Broken};
use effbench::trial::Registry;

/// Holds a law over every row of a catalog.
macro_rules! every_row {
    ($($test:ident: $law:path, $catalog:expr;)*) => {$(
        #[test]
        fn $test() {
            let registry = Registry::builtin();
            let names: Vec<&str> = $catalog(&registry).iter().map(|row| row.name()).collect();
            assert!(!names.is_empty());
            for name in names {
                assert_eq!($law(&registry, name), [], "{name}");
            }
        }
    )*};
}

every_row! {
    mixers: law::mixer, |r: &Registry| r.slots.mixers.clone();
    feed_forward_layers: law::feed_forward, |r: &Registry| r.slots.ffns.clone();
    norms: law::norm, |r: &Registry| r.slots.norms.clone();
    positions: law::position, |r: &Registry| r.slots.positions.clone();
}

#[test]
fn variants() {
    let registry = Registry::builtin();
    let variants = Library::builtin().variants().unwrap();
    assert!(variants.len() >= 7);
    for variant in variants {
        let broken: Vec<Broken> = law::recipe(&registry, &variant.tree);
        assert_eq!(broken, [], "{}", variant.name);
    }
}
