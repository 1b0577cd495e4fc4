//! The glue: observe, decide, act, record.
