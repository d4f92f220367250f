//! Drops that another backup product reads, with the real binary: from the share into the directory, read, confirmed,
//! and gone again. The product is what its hooks say, put where they put it.

mod disks;
mod instead;
mod killed;
mod let_go;
mod life;
mod moved;
mod product;
mod readers;
mod several;
mod site;
mod waits;
mod world;
