//! Stories: a small world, something an administrator does, and what a person would look at afterwards.

mod any_order;
mod exactly_once;
mod first_pass;
mod later_passes;
mod links;
mod way_back;
mod world;
