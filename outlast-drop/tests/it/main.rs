//! The promises of the share, against real files, real processes and other tar programs.

mod damage;
mod garbage;
mod killed;
mod life;
mod shell;
mod support;
mod tar_judges;
