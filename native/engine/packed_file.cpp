#include "engine/packed_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "error.h"
#include "kernels/kernel.h"

#if defined(_WIN32)
#include <io.h>
#include <process.h>
#else
#include <fcntl.h>
#include <unistd.h>
#endif

namespace bitnet {
namespace {

constexpr char kMagic[8] = {'B', 'N', 'P', 'A', 'C', 'K', '2', '\n'};
constexpr size_t kMostPieces = 1 << 20;
// Bytes written at a time. Linux makes the pages of its cache as large as what is written at once, and maps the largest as
// huge pages.
constexpr size_t kWritten = size_t{4} << 20;
static_assert(kWritten % PackedFile::kChunk == 0);
constexpr uint64_t kPrime = 0x9e3779b97f4a7c15ull;

inline uint64_t load_u64(const uint8_t* p) {
  uint64_t v;
  std::memcpy(&v, p, 8);
  return v;
}

inline uint64_t mix(uint64_t h) {
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93ull;
  h ^= h >> 29;
  return h;
}

std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> counter{0};
#if defined(_WIN32)
  const int process = _getpid();
#else
  const int process = static_cast<int>(getpid());
#endif
  return path + "." + std::to_string(process) + "-" + std::to_string(counter.fetch_add(1)) + ".tmp";
}

std::FILE* open_file(const std::string& path) {
#if defined(_WIN32)
  return _wfopen(std::filesystem::u8path(path).c_str(), L"wbx");
#else
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  return fd < 0 ? nullptr : fdopen(fd, "wb");
#endif
}

bool seek(std::FILE* file, uint64_t offset) {
#if defined(_WIN32)
  return _fseeki64(file, static_cast<long long>(offset), SEEK_SET) == 0;
#else
  return fseeko(file, static_cast<off_t>(offset), SEEK_SET) == 0;
#endif
}

bool flush(std::FILE* file) {
  if (std::fflush(file) != 0) return false;
#if defined(_WIN32)
  return _commit(_fileno(file)) == 0;
#else
  return fsync(fileno(file)) == 0;
#endif
}

// Makes the rename last, where the system can open folders.
void flush_folder(const std::string& path) {
#if !defined(_WIN32)
  const auto folder = std::filesystem::path(path).parent_path();
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
#else
  (void)path;
#endif
}

}  // namespace

uint64_t checksum(const void* data, size_t bytes, uint64_t seed) {
  const auto* p = static_cast<const uint8_t*>(data);
  uint64_t lane[8];
  for (uint64_t i = 0; i < 8; i++) lane[i] = (seed + i + 1) * kPrime;
  size_t at = 0;
  for (; at + 64 <= bytes; at += 64) {
    // The rotation carries high bits down: a multiplication alone only moves them up.
    for (size_t i = 0; i < 8; i++) {
      const uint64_t h = (lane[i] ^ load_u64(p + at + 8 * i)) * kPrime;
      lane[i] = h << 29 | h >> 35;
    }
  }
  uint8_t rest[64] = {};
  std::memcpy(rest, p + at, bytes - at);
  uint64_t h = bytes * kPrime;
  for (size_t i = 0; i < 8; i++) h = mix(h ^ mix((lane[i] ^ load_u64(rest + 8 * i)) * kPrime)) * kPrime;
  return mix(h);
}

std::unique_ptr<PackedFile> PackedFile::open(const std::string& path, const std::string& key) {
  std::unique_ptr<PackedFile> out;
  try {
    out.reset(new PackedFile(MappedFile(path)));
  } catch (const Error&) {
    return nullptr;
  }
  const MappedFile& f = out->file_;
  const uint8_t* p = f.data();
  if (f.size() < kHeaderBytes || std::memcmp(p, kMagic, 8) != 0 || load_u64(p + 8) != f.size()) return nullptr;
  const uint64_t count = load_u64(p + 16), key_bytes = load_u64(p + 32);
  if (key_bytes != key.size() || key_bytes > kHeaderBytes - 40 || std::memcmp(p + 40, key.data(), key.size()) != 0) return nullptr;
  if (count > kMostPieces) return nullptr;
  uint64_t at = kHeaderBytes;
  for (uint64_t i = 0; i < count; i++) {
    if (f.size() - at < 16) return nullptr;
    Piece piece{load_u64(p + at), load_u64(p + at + 8), {}};
    at += 16;
    if (piece.offset % kAlign || piece.offset > f.size() || piece.bytes > f.size() - piece.offset) return nullptr;
    const uint64_t sums = (piece.bytes + kChunk - 1) / kChunk;
    if ((f.size() - at) / 8 < sums) return nullptr;
    for (uint64_t c = 0; c < sums; c++, at += 8) piece.checksums.push_back(load_u64(p + at));
    out->pieces_.push_back(std::move(piece));
  }
  if (checksum(p + kHeaderBytes, at - kHeaderBytes) != load_u64(p + 24)) return nullptr;
  return out;
}

std::vector<PackedFile::Chunk> PackedFile::chunks() const {
  std::vector<Chunk> out;
  for (size_t i = 0; i < pieces_.size(); i++) {
    for (size_t begin = 0; begin < pieces_[i].bytes; begin += kChunk) {
      out.push_back({i, begin / kChunk, begin, std::min<size_t>(kChunk, pieces_[i].bytes - begin)});
    }
  }
  return out;
}

PackedFileWriter::PackedFileWriter(const std::string& path, const std::string& key, const std::vector<size_t>& piece_bytes)
    : path_(path), temporary_(temporary_name(path)), key_(key) {
  if (key.size() > PackedFile::kHeaderBytes - 40) throw Error(kInvalidArgument, "The key of a packed file is too long.");
  for (size_t bytes : piece_bytes) {
    pieces_.push_back({0, bytes, std::vector<uint64_t>((bytes + PackedFile::kChunk - 1) / PackedFile::kChunk)});
    table_bytes_ += 16 + 8 * pieces_.back().checksums.size();
  }
  file_bytes_ = PackedFile::kHeaderBytes + table_bytes_;
  for (auto& piece : pieces_) {
    piece.offset = round_up(file_bytes_, PackedFile::kAlign);
    file_bytes_ = piece.offset + piece.bytes;
  }
  file_ = open_file(temporary_);
  if (!file_) fail("create");
  std::setvbuf(static_cast<std::FILE*>(file_), nullptr, _IONBF, 0);
}

PackedFileWriter::~PackedFileWriter() {
  if (!file_) return;
  std::fclose(static_cast<std::FILE*>(file_));
  std::remove(temporary_.c_str());
}

void PackedFileWriter::fail(const std::string& what) {
  throw Error(kFileError, "Cannot " + what + " the packed weights at " + path_ + ": " + std::generic_category().message(errno) + ".");
}

void PackedFileWriter::put(uint64_t offset, const void* data, size_t bytes) {
  auto* file = static_cast<std::FILE*>(file_);
  if (!seek(file, offset) || std::fwrite(data, 1, bytes, file) != bytes) fail("write");
}

void PackedFileWriter::write(size_t piece, const void* data, const std::atomic<bool>& cancelled) {
  auto& p = pieces_[piece];
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t begin = 0; begin < p.bytes; begin += kWritten) {
    if (cancelled) throw Error(kAborted, "Writing the packed weights was stopped.");
    const size_t end = std::min<size_t>(begin + kWritten, p.bytes);
    for (size_t at = begin; at < end; at += PackedFile::kChunk) {
      p.checksums[at / PackedFile::kChunk] = checksum(bytes + at, std::min(PackedFile::kChunk, end - at));
    }
    put(p.offset + begin, bytes + begin, end - begin);
  }
}

void PackedFileWriter::finish() {
  std::vector<uint8_t> head(PackedFile::kHeaderBytes + table_bytes_);
  uint64_t at = PackedFile::kHeaderBytes;
  auto set = [&](uint64_t offset, uint64_t value) { std::memcpy(head.data() + offset, &value, 8); };
  for (const auto& piece : pieces_) {
    set(at, piece.offset);
    set(at + 8, piece.bytes);
    at += 16;
    for (uint64_t sum : piece.checksums) {
      set(at, sum);
      at += 8;
    }
  }
  std::memcpy(head.data(), kMagic, 8);
  set(8, file_bytes_);
  set(16, pieces_.size());
  set(24, checksum(head.data() + PackedFile::kHeaderBytes, table_bytes_));
  set(32, key_.size());
  std::memcpy(head.data() + 40, key_.data(), key_.size());
  put(0, head.data(), head.size());
  auto* file = static_cast<std::FILE*>(file_);
  if (!flush(file)) fail("flush");
  file_ = nullptr;
  const bool closed = std::fclose(file) == 0;
  std::error_code error;
  if (closed) std::filesystem::rename(std::filesystem::u8path(temporary_), std::filesystem::u8path(path_), error);
  if (!closed || error) {
    std::filesystem::remove(std::filesystem::u8path(temporary_), error);
    fail("finish");
  }
  flush_folder(path_);
}

}  // namespace bitnet
