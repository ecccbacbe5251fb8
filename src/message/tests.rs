//! Properties of taking apart and joining.
