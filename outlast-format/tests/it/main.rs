//! The format against the program that defines it, stock restic, and against damage.

#[cfg(test)]
mod damage;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod repository;
#[cfg(test)]
mod restic;
#[cfg(test)]
mod torture;
#[cfg(test)]
mod we_read;
#[cfg(test)]
mod we_write;
