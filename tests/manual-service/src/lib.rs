// SPDX-License-Identifier: GPL-3.0-or-later
//! The service as connect(8) describes it, in one slow process without cleverness, written from the
//! manual alone. It runs in the same simulated world as the product, and what both say is compared.

mod io;

pub use io::{Child, ChildOrder, Input, Kind, Output, Stream};
