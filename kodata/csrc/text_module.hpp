#pragma once

#include <nanobind/nanobind.h>

// Functions of the text core: normal form, measures, word counts, shapes of personal data.
void bind_text(nanobind::module_& m);
