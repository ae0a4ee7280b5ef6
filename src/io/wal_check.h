// Finds damage inside an SQLite write-ahead log that SQLite itself passes over in silence.
//
// SQLite replays a log up to the first frame whose checksum is wrong and takes the rest for a
// write that never finished. That is right for the last transaction, and hides a loss if the bad
// frame lies further back: those transactions had been acknowledged. The two can be told apart. A
// transaction is written only after the one before it was synced, and each log generation has its
// own pair of salts. So: a bad frame, later a commit frame with this generation's salts, and after
// that any frame of this generation: the committed transaction with the bad frame was synced.
//
// Source: "The WAL File Format", sections 4.1 to 4.4 of sqlite.org/fileformat2.html.
// Not found: damage to the last transaction (it looks as if it had been cut short), and a log
// that was deleted.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weir::io {

// What is wrong with the bytes of a -wal file; nullopt: nothing that can be told.
std::optional<std::string> DamageInWal(std::string_view wal);

}  // namespace weir::io
