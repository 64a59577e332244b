// Most texts are in normal form already, and one pass over the string as it lies in memory can tell.
#pragma once

#include "chars.hpp"

namespace kodata {

// True when `normalise` would surely leave the text as it is; false says nothing.
bool settled(const Text& text);

}  // namespace kodata
