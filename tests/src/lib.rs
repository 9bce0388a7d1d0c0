//! Tests of the whole: simulations and real clusters. The library part is what several of them share.

pub mod simulation;
