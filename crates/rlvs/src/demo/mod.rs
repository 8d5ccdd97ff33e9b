//! demo
use anyhow::Result;
#[derive(Clone, Copy)]
pub enum Mode {
    Nat,
    Dr,
    Tun,
}
pub fn run(_: &[Mode], _: bool) -> Result<()> {
    Ok(())
}
pub fn remove() -> Result<()> {
    Ok(())
}
