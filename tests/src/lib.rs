//! Tests of the whole that need no processes: the simulation, the collector, the rules of the house.

pub mod simulation;
