// model/table_row.h - one row of a matrix that stays in its file: embeddings, of which a pass needs
// as many as it has tokens. Used by decoder.cc and encoder.cc. Threads: any.
#pragma once
#include "gguf/file.h"

namespace maru::model {

// By read calls: through the mapping each row would make 64 KiB of the file around it memory of
// this process, up to the whole table. Where the file cannot be read any more, all values are NaN,
// and so is what the model makes of them.
// Shapes: x [table.n_cols()]. Requires: row < table.n_rows(); its type can be dequantized.
void read_table_row(const gguf::File& file, const gguf::TensorView& table, size_t row, float* x);

}  // namespace maru::model
