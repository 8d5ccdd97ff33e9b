//! The machine in simulated time: one test for each keyword, reloads, restarts, and days of chaos from a seed.

mod agents;
mod alive;
mod files;
mod passive;
mod quorum;
mod reload;
mod restart;
mod scripts;
mod simulation;
mod timing;
mod weights;
mod world;
