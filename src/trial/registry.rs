//! Every catalog in one value, so that somebody's own crate can add a row and keep the whole command line.

use std::sync::Arc;

use crate::config::{Catalog, Library, Named};
use crate::data::{self, SourceKind};
use crate::measure::energy::{self, MeterKind};
use crate::model::{
    FfnKind, LinearKind, LossKind, MixerKind, NormKind, PositionKind, Slots, StreamKind,
};
use crate::train::{OptimizerKind, ScheduleKind, optimizer, schedule};

/// What can be chosen by a `kind` key.
#[derive(Clone)]
pub struct Registry {
    /// The model's slots.
    pub slots: Slots,
    /// `data.kind`.
    pub sources: Catalog<dyn SourceKind>,
    /// `train.optimizer.kind`.
    pub optimizers: Catalog<dyn OptimizerKind>,
    /// `train.schedule.kind`.
    pub schedules: Catalog<dyn ScheduleKind>,
    /// Read during every trial, as far as this machine has them.
    pub meters: Catalog<dyn MeterKind>,
}

/// Name and one sentence of every kind in one catalog.
pub type Listing = (&'static str, Vec<(&'static str, &'static str)>);

impl Registry {
    /// What ships.
    pub fn builtin() -> Self {
        Self {
            slots: Slots::builtin(),
            sources: data::kinds(),
            optimizers: optimizer::kinds(),
            schedules: schedule::kinds(),
            meters: energy::kinds(),
        }
    }

    /// Adds a mixer, or replaces the one of its name.
    #[must_use]
    pub fn mixer(mut self, kind: impl MixerKind + 'static) -> Self {
        self.slots.mixers.add(Arc::new(kind));
        self
    }

    /// Adds a feed-forward layer.
    #[must_use]
    pub fn ffn(mut self, kind: impl FfnKind + 'static) -> Self {
        self.slots.ffns.add(Arc::new(kind));
        self
    }

    /// Adds a norm.
    #[must_use]
    pub fn norm(mut self, kind: impl NormKind + 'static) -> Self {
        self.slots.norms.add(Arc::new(kind));
        self
    }

    /// Adds a position encoding.
    #[must_use]
    pub fn position(mut self, kind: impl PositionKind + 'static) -> Self {
        self.slots.positions.add(Arc::new(kind));
        self
    }

    /// Adds a kind of block.
    #[must_use]
    pub fn stream(mut self, kind: impl StreamKind + 'static) -> Self {
        self.slots.streams.add(Arc::new(kind));
        self
    }

    /// Adds a kind of product with weights.
    #[must_use]
    pub fn linear(mut self, kind: impl LinearKind + 'static) -> Self {
        self.slots.linears.add(Arc::new(kind));
        self
    }

    /// Adds a loss.
    #[must_use]
    pub fn loss(mut self, kind: impl LossKind + 'static) -> Self {
        self.slots.losses.add(Arc::new(kind));
        self
    }

    /// Adds a data source.
    #[must_use]
    pub fn source(mut self, kind: impl SourceKind + 'static) -> Self {
        self.sources.add(Arc::new(kind));
        self
    }

    /// Adds an optimizer.
    #[must_use]
    pub fn optimizer(mut self, kind: impl OptimizerKind + 'static) -> Self {
        self.optimizers.add(Arc::new(kind));
        self
    }

    /// Adds a schedule.
    #[must_use]
    pub fn schedule(mut self, kind: impl ScheduleKind + 'static) -> Self {
        self.schedules.add(Arc::new(kind));
        self
    }

    /// Adds an energy meter.
    #[must_use]
    pub fn meter(mut self, kind: impl MeterKind + 'static) -> Self {
        self.meters.add(Arc::new(kind));
        self
    }

    /// The shipped library, with these catalogs' own data sources known by name.
    pub fn library(&self) -> Library {
        let shipped = data::kinds();
        let added = self
            .sources
            .iter()
            .filter(|kind| shipped.iter().all(|known| known.name() != kind.name()));
        added.fold(Library::builtin(), |library, kind| {
            library.with_data(kind.name())
        })
    }

    /// Every catalog with its rows, for `effbench list`.
    pub fn listings(&self) -> Vec<Listing> {
        fn rows<K: Named + ?Sized>(catalog: &Catalog<K>) -> Listing {
            (
                catalog.what,
                catalog
                    .iter()
                    .map(|kind| (kind.name(), kind.about()))
                    .collect(),
            )
        }
        vec![
            rows(&self.sources),
            rows(&self.slots.mixers),
            rows(&self.slots.ffns),
            rows(&self.slots.norms),
            rows(&self.slots.positions),
            rows(&self.slots.streams),
            rows(&self.slots.linears),
            rows(&self.slots.losses),
            rows(&self.optimizers),
            rows(&self.schedules),
            rows(&self.meters),
        ]
    }
}
