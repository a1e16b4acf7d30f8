// SPDX-License-Identifier: GPL-3.0-or-later
//! What the system says about processes, and the figures made of it.

pub(crate) mod arrivals;
pub(crate) mod figures;
pub(crate) mod placement;
pub(crate) mod process;
pub(crate) mod window;
