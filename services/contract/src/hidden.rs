//! Bodies that carry secrets show nothing but their name to whoever formats them.

/// Implements `Debug` for types whose content is nobody's to read.
macro_rules! hidden {
    ($($name:ident)+) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        })+
    };
}

pub(crate) use hidden;
