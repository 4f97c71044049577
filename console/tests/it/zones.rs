//! Times that are typed are read in the zone in which their page shows times.
