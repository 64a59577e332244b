// What a text must hold for a detector of personal data to fire: the bits of kodata/pii/shapes.py, seen more closely.
//
// A bit may be set without need and never be missing: tests hold every detector to that.
#pragma once

#include "chars.hpp"

namespace kodata {

enum Shape : unsigned {
    SHAPE_AT = 1,
    SHAPE_NUMBER = 2,  // any of those from SHAPE_RESIDENT on
    SHAPE_PASSPORT = 4,
    SHAPE_PLATE = 8,
    SHAPE_ADDRESS = 16,
    SHAPE_RESIDENT = 32,
    SHAPE_BUSINESS = 64,
    SHAPE_CARD = 128,
    SHAPE_DRIVER = 256,
    SHAPE_PHONE = 512,
    SHAPE_ACCOUNT = 1024,
    SHAPE_IP = 2048,
    SHAPE_NUMBERS = 4064
};

unsigned shapes(const u32* text, std::size_t n);

// Four jamo in a row: kodata/toxicity.py may read a word in them.
bool has_jamo_run(const u32* text, std::size_t n);

}  // namespace kodata
