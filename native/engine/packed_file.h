// The packed cache: what loading makes of a model's weights, in a file that a later load maps instead of packing again.
//
//   0     char[8]   "BNPACK2\n"
//   8     u64       bytes of the whole file
//   16    u64       pieces
//   24    u64       checksum of the table
//   32    u64       bytes of the key, then the key itself (below kHeaderBytes)
//   4096  table     for every piece: u64 offset, u64 bytes, and a checksum for each kChunk of it
//   ...   pieces    each at a multiple of kAlign
//
// The key names everything that the pieces depend on; a file with another key is stale. Numbers are little-endian. A file
// appears whole or not at all: it is written under another name, flushed and renamed. Checksums tell damage of the disk or
// of a careless hand, not malice.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/mapped_file.h"

namespace bitnet {

// 64 bits of `bytes` bytes: eight lanes of multiply and xor, as fast as memory reads.
uint64_t checksum(const void* data, size_t bytes, uint64_t seed = 0);

// A file of pieces, mapped read-only.
class PackedFile {
 public:
  // Null where there is no file, or it is damaged, cut short, or made for another key: it is then of no use.
  static std::unique_ptr<PackedFile> open(const std::string& path, const std::string& key);

  static constexpr size_t kHeaderBytes = 4096;
  // Small enough that what was copied is still in the second cache when its checksum is computed.
  static constexpr size_t kChunk = size_t{256} << 10;
  static constexpr size_t kAlign = size_t{64} << 10;

  struct Piece {
    uint64_t offset = 0, bytes = 0;
    std::vector<uint64_t> checksums;
  };

  size_t count() const { return pieces_.size(); }
  const uint8_t* data(size_t piece) const { return file_.data() + pieces_[piece].offset; }
  size_t bytes(size_t piece) const { return pieces_[piece].bytes; }
  uint64_t file_bytes() const { return file_.size(); }
  const MappedFile& file() const { return file_; }
  uint64_t offset(size_t piece) const { return pieces_[piece].offset; }

  // Chunks of all pieces, for checks in parallel.
  struct Chunk {
    size_t piece, index;
    size_t begin, bytes;  // in the piece
  };
  std::vector<Chunk> chunks() const;
  // Whether a chunk's bytes, in the file or copied from it, are those that were written.
  bool sound(const Chunk& chunk, const void* data) const {
    return checksum(data, chunk.bytes) == pieces_[chunk.piece].checksums[chunk.index];
  }
  // Copies a chunk out of the file. False where its bytes are not those that were written.
  bool copy(const Chunk& chunk, uint8_t* to) const {
    file_.read(offset(chunk.piece) + chunk.begin, chunk.bytes, to);
    return sound(chunk, to);
  }

 private:
  explicit PackedFile(MappedFile file) : file_(std::move(file)) {}

  MappedFile file_;
  std::vector<Piece> pieces_;
};

// Writes such a file piece by piece, in any order. What is not finished leaves nothing behind.
class PackedFileWriter {
 public:
  // Throws Error(kFileError), as all members do.
  PackedFileWriter(const std::string& path, const std::string& key, const std::vector<size_t>& piece_bytes);
  ~PackedFileWriter();
  PackedFileWriter(const PackedFileWriter&) = delete;
  PackedFileWriter& operator=(const PackedFileWriter&) = delete;

  // Throws Error(kAborted) once `cancelled` is set.
  void write(size_t piece, const void* data, const std::atomic<bool>& cancelled);
  // Flushes and gives the file its name.
  void finish();

 private:
  [[noreturn]] void fail(const std::string& what);
  void put(uint64_t offset, const void* data, size_t bytes);

  const std::string path_, temporary_, key_;
  std::vector<PackedFile::Piece> pieces_;
  uint64_t table_bytes_ = 0, file_bytes_ = 0;
  void* file_ = nullptr;  // FILE*
};

}  // namespace bitnet
