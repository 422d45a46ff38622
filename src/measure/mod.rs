//! Pure: timeline → metrics → statistics → comparison → verdict. No clock, no I/O.

pub mod timeline;
