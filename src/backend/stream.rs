//! stub
pub struct Call;
pub trait Decoder: Send {}
