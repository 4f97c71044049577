//! Pages are small as they are sent.
