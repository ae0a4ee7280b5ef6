// The incremental HTTP/1.1 parser under server and client: Boost.Beast's basic_parser, which has
// met more hostile input than a parser of ours would, fed from whatever buffer the bytes arrived
// in, its fields going into an HttpHead. Request smuggling's usual doors (two lengths, length and
// chunked, blanks before a colon, bare CR) are its refusals; corpus and a fuzz target stand beside
// this file.
//
//   HttpParser parser(HttpParser::Kind::kRequest, {.max_head_bytes = 16384});
//   while (!parser.done()) { n = TRY(parser.Feed(bytes, sink)); drop n bytes; if (n == 0) read
//   more; }
//
// Memory    keeps nothing of the input but the fields; the caller keeps what Feed did not consume
//           and presents it again with more behind it (only an unfinished head or chunk line).
// Errors    kTooLarge with http_status() 431 (head) or 413 (body), else kInvalidArgument with 400.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/http_message.h"

namespace weir::io {

class HttpParser {
 public:
  enum class Kind { kRequest, kResponse };
  struct Limits {
    size_t max_head_bytes = 16 << 10;
    uint64_t max_body_bytes = UINT64_MAX;
  };
  HttpParser(Kind kind, Limits limits);
  ~HttpParser();

  // Ready for the next message. `head_only`: a response to HEAD, which has no body.
  void Reset(bool head_only = false);
  // Consumes a prefix of `bytes`; stops after the head (call again for the body) and at the end of
  // the message. Body pieces are appended to `body` as they come.
  Result<size_t> Feed(std::string_view bytes, std::string& body);
  // The connection was closed. Ends a response without length; an error inside any other message.
  Status FeedEnd();

  bool started() const;    // at least one byte was consumed, or an unfinished head was seen
  bool head_done() const;  // the head is whole: the fields below are valid
  bool done() const;       // the message is whole
  bool keep_alive() const;
  bool chunked() const;
  int64_t content_length() const;  // -1: none given
  bool need_eof() const;           // the body ends with the connection
  // Lowers or raises the bound of the body; after head_done().
  void SetMaxBody(uint64_t bytes);
  int error_status() const;  // the answer to the error that Feed returned

  HttpHead head;
  std::string method, target;  // of a request
  int status = 0;              // of a response
  int version = 11;

 private:
  struct Base;
  template <bool kIsRequest>
  struct Machine;
  const Kind kind_;
  const Limits limits_;
  std::unique_ptr<Base> machine_;
};

}  // namespace weir::io
