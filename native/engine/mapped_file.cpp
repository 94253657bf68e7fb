#include "engine/mapped_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "error.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace bitnet {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw Error(kFileError, "Cannot map " + path + ": " + reason + ".");
}

}  // namespace

void MappedFile::require_whole() const {
  if (!guard_.lost() && !unreadable_.load(std::memory_order_acquire) && !shorter()) return;
  throw Error(kFileError, "A part of " + path_ + " could not be read: the file was cut short while it was in use, or its disk "
                          "failed. Put the file back and load the model again.");
}

#if defined(_WIN32)

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int length = MultiByteToWideChar(CP_UTF8, 0, path.c_str(), -1, nullptr, 0);
  std::wstring wide(static_cast<size_t>(length), L'\0');
  MultiByteToWideChar(CP_UTF8, 0, path.c_str(), -1, wide.data(), length);
  HANDLE file = CreateFileW(wide.c_str(), GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
  if (file == INVALID_HANDLE_VALUE) fail(path, "Windows error " + std::to_string(GetLastError()));
  LARGE_INTEGER size;
  if (!GetFileSizeEx(file, &size) || size.QuadPart == 0) {
    CloseHandle(file);
    fail(path, "it is empty");
  }
  HANDLE mapping = CreateFileMappingW(file, nullptr, PAGE_READONLY, 0, 0, nullptr);
  void* view = mapping ? MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0) : nullptr;
  if (!view) {
    const auto error = GetLastError();
    if (mapping) CloseHandle(mapping);
    CloseHandle(file);
    fail(path, "Windows error " + std::to_string(error));
  }
  file_ = file;
  mapping_ = mapping;
  data_ = static_cast<const uint8_t*>(view);
  size_ = static_cast<uint64_t>(size.QuadPart);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)),
      file_(other.file_), mapping_(other.mapping_) {}

void MappedFile::require_unchanged() const {}
bool MappedFile::shorter() const { return false; }  // the system refuses

MappedFile::~MappedFile() {
  if (!data_) return;
  UnmapViewOfFile(data_);
  CloseHandle(mapping_);
  CloseHandle(file_);
}

void MappedFile::read(uint64_t offset, uint64_t length, uint8_t* out) const { std::memcpy(out, data_ + offset, length); }

void MappedFile::will_need(uint64_t, uint64_t) const {}
void MappedFile::release(uint64_t, uint64_t) const {}

#else

namespace {

int64_t modified(const struct stat& info) {
#if defined(__APPLE__)
  const struct timespec& t = info.st_mtimespec;
#else
  const struct timespec& t = info.st_mtim;
#endif
  return static_cast<int64_t>(t.tv_sec) * 1000000000 + t.tv_nsec;
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path, std::generic_category().message(errno));
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= 0) {
    close(fd);
    fail(path, "it is not a regular file with contents");
  }
  void* p = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) {
    const int error = errno;
    close(fd);
    fail(path, std::generic_category().message(error));
  }
  fd_ = fd;
  data_ = static_cast<const uint8_t*>(p);
  size_ = static_cast<uint64_t>(info.st_size);
  modified_ = modified(info);
  inode_ = static_cast<uint64_t>(info.st_ino);
  guard_ = FaultGuard(data_, size_);
}

// The rest of a page in which a file now ends reads as zeros, without a fault.
bool MappedFile::shorter() const {
  struct stat info;
  return fd_ >= 0 && (fstat(fd_, &info) != 0 || static_cast<uint64_t>(info.st_size) < size_);
}

void MappedFile::require_unchanged() const {
  require_whole();
  struct stat info;
  // A file that was removed, or replaced by another of its name, leaves the mapping as it was.
  if (stat(path_.c_str(), &info) != 0 || info.st_ino != inode_) return;
  if (static_cast<uint64_t>(info.st_size) != size_ || modified(info) != modified_) {
    throw Error(kFileError, path_ + " was changed while it was read. Load it when it is complete.");
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)),
      modified_(other.modified_), inode_(other.inode_), guard_(std::move(other.guard_)), fd_(std::exchange(other.fd_, -1)) {}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<uint8_t*>(data_), size_);
  if (fd_ >= 0) close(fd_);
}

void MappedFile::read(uint64_t offset, uint64_t length, uint8_t* out) const {
  while (length) {
    const ssize_t got = pread(fd_, out, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      std::memset(out, 0, length);
      unreadable_.store(true, std::memory_order_release);
      return;
    }
    out += got;
    offset += static_cast<uint64_t>(got);
    length -= static_cast<uint64_t>(got);
  }
}

namespace {
constexpr uint64_t kPage = 4096;
}

void MappedFile::will_need(uint64_t offset, uint64_t length) const {
  // In pieces: Linux starts reading no more than the device's largest request for one call.
  constexpr uint64_t kPiece = uint64_t{256} << 10;
  for (uint64_t begin = offset / kPage * kPage; begin < offset + length; begin += kPiece) {
    madvise(const_cast<uint8_t*>(data_) + begin, std::min(kPiece, offset + length - begin), MADV_WILLNEED);
  }
}

void MappedFile::release(uint64_t offset, uint64_t length) const {
  // Only whole pages inside the range: the ends may belong to a neighbour still in use.
  // Nothing beyond the file: what lies there is somebody else's memory, and would be lost.
  const uint64_t stop = offset + length < size_ ? offset + length : size_;
  const uint64_t begin = (offset + kPage - 1) / kPage * kPage, end = stop / kPage * kPage;
  if (end > begin) madvise(const_cast<uint8_t*>(data_) + begin, end - begin, MADV_DONTNEED);
}

#endif

}  // namespace bitnet
