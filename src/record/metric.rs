//! The one registry of metrics.
