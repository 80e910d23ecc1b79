//! Read, write, validate.
