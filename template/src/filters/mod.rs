//! Jinja2's filters: what stands after `|`.

pub(crate) mod attribute;
pub(crate) mod html;
pub(crate) mod json;
mod layout;
mod numbers;
mod pprint;
mod select;
mod sequence;
mod sorting;
mod strings;
pub(crate) mod urls;

use crate::native::MethodFn;

/// A filter by name.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) name: &'static str,
    pub(crate) code: MethodFn,
}

macro_rules! filters {
    ($($name:literal => $code:path,)*) => {
        static FILTERS: &[Filter] = &[$(Filter { name: $name, code: $code },)*];
    };
}

filters! {
    "abs" => numbers::abs,
    "attr" => attribute::attr,
    "batch" => sequence::batch,
    "capitalize" => strings::capitalize,
    "center" => strings::center,
    "count" => sequence::length,
    "d" => attribute::default,
    "default" => attribute::default,
    "dictsort" => sorting::dictsort,
    "e" => html::escape,
    "escape" => html::escape,
    "filesizeformat" => numbers::filesizeformat,
    "first" => sequence::first,
    "float" => numbers::float,
    "forceescape" => html::forceescape,
    "format" => strings::format,
    "groupby" => sorting::groupby,
    "indent" => layout::indent,
    "int" => numbers::int,
    "items" => sequence::items,
    "join" => strings::join,
    "last" => sequence::last,
    "length" => sequence::length,
    "list" => sequence::list,
    "lower" => strings::lower,
    "map" => select::map,
    "max" => sorting::max,
    "min" => sorting::min,
    "pprint" => pprint::pprint,
    "random" => sequence::random,
    "reject" => select::reject,
    "rejectattr" => select::rejectattr,
    "replace" => strings::replace,
    "reverse" => sequence::reverse,
    "round" => numbers::round,
    "safe" => html::safe,
    "select" => select::select,
    "selectattr" => select::selectattr,
    "slice" => sequence::slice,
    "sort" => sorting::sort,
    "string" => strings::string,
    "striptags" => html::striptags,
    "sum" => numbers::sum,
    "title" => strings::title,
    "tojson" => json::tojson,
    "trim" => strings::trim,
    "truncate" => layout::truncate,
    "unique" => sorting::unique,
    "upper" => strings::upper,
    "urlencode" => urls::urlencode,
    "urlize" => urls::urlize,
    "wordcount" => strings::wordcount,
    "wordwrap" => layout::wordwrap,
    "xmlattr" => html::xmlattr,
}

/// The filter of that name.
pub(crate) fn find(name: &str) -> Option<&'static Filter> {
    FILTERS.iter().find(|filter| filter.name == name)
}

/// The names of all filters.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FILTERS.iter().map(|filter| filter.name)
}
