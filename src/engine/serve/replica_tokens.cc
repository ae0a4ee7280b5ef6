// The endpoints about tokens and vectors, and the way from a prompt to its ids.
#include <fmt/format.h>

#include <algorithm>

#include "engine/serve/replica_impl.h"
#include "wire/openai_embeddings.h"
#include "wire/openai_tokens.h"

namespace weir::serve {

std::optional<wire::ApiError> Replica::Impl::CheckIds(const std::vector<int32_t>& ids,
                                                      std::string_view param) const {
  const int vocabulary = model->tokenizer().vocab_size();
  for (const int32_t id : ids) {
    if (id < vocabulary) continue;
    return wire::ApiError{.message = fmt::format("'{}' holds the token id {}; this model has {} "
                                                 "tokens",
                                                 param, id, vocabulary),
                          .param = std::string(param)};
  }
  return std::nullopt;
}

std::string Replica::Impl::TextOf(std::span<const int32_t> ids) const {
  std::string bytes = model->tokenizer().Decode(ids);
  return model::TakeUtf8(bytes, /*final=*/true);
}

std::optional<wire::ApiError> Replica::Impl::TokensOf(const wire::Prompt& prompt,
                                                      std::string_view param, bool add_special,
                                                      std::vector<int32_t>& out,
                                                      bool* began) const {
  const model::Tokenizer& tokenizer = model->tokenizer();
  out = prompt.tokens;
  if (!out.empty()) return CheckIds(out, param);
  const std::vector<int32_t> ids = tokenizer.Encode(prompt.text, model::ParseSpecial::kYes);
  const bool begun = !ids.empty() && tokenizer.bos() && ids.front() == *tokenizer.bos();
  const bool begin = add_special && tokenizer.add_bos() && tokenizer.bos() && !begun;
  if (begin) out.push_back(*tokenizer.bos());
  if (began != nullptr) *began = begin;
  out.insert(out.end(), ids.begin(), ids.end());
  if (!out.empty()) return std::nullopt;
  // Nothing to continue: begin a text, as the model saw texts begin in training.
  const std::optional<int32_t> start = tokenizer.bos() ? tokenizer.bos() : tokenizer.eos();
  if (!start) {
    return wire::ApiError{.message = fmt::format("'{}' is empty, and this model has no token that "
                                                 "begins a text",
                                                 param),
                          .param = std::string(param)};
  }
  out.push_back(*start);
  if (began != nullptr) *began = true;
  return std::nullopt;
}

// ---- /v1/embeddings --------------------------------------------------------------------------

void Replica::Impl::Embed(const io::HttpExchangePtr& exchange) {
  wire::EmbeddingRequest request;
  auto error = wire::ParseEmbeddingRequest(exchange->request().body, request);
  std::string adapter;
  if (!error) error = FindModel(request.model, adapter);
  const int dim = model->config().dim;
  if (!error && options.pooling == Pooling::kNone) {
    error = wire::ApiError{.message =
                               "This model gives no embeddings here; start it with "
                               "--pooling mean or --pooling last",
                           .code = "not_offered"};
  }
  if (!error && request.dimensions && *request.dimensions != dim) {
    error = wire::ApiError{.message = fmt::format("'dimensions' is {}; this model gives vectors of "
                                                  "{}, uncut",
                                                  *request.dimensions, dim),
                           .param = "dimensions"};
  }
  std::vector<GenerateRequest> requests;
  int64_t tokens = 0;
  for (const wire::Prompt& input : request.inputs) {
    if (error) break;
    GenerateRequest generate{.max_tokens = 0, .adapter = adapter, .embed = options.pooling};
    error = TokensOf(input, "input", /*add_special=*/true, generate.prompt);
    const auto length = static_cast<int64_t>(generate.prompt.size());
    if (!error && length > engine->context()) {
      error = wire::ContextLengthExceeded(length, 0, engine->context());
      error->param = "input";
    }
    TakeUrgency(exchange->request(), 0, generate);
    tokens += length;
    requests.push_back(std::move(generate));
  }
  if (error) return exchange->Answer(ErrorResponse(*error));
  auto answer = std::make_shared<EmbeddingAnswer>(
      exchange, request.model.empty() ? options.name : request.model, request.base64,
      requests.size(), tokens);
  // A long list waits here, not in the engine's queue, where others wait too.
  Ask(exchange, std::move(answer), std::move(requests),
      static_cast<size_t>(std::max(1, options.engine.max_batch / 2)));
}

// ---- /tokenize, /detokenize ------------------------------------------------------------------

void Replica::Impl::Tokenize(const io::HttpExchangePtr& exchange) {
  wire::TokenizeRequest request;
  auto error = wire::ParseTokenizeRequest(exchange->request().body, request);
  std::string adapter;
  if (!error) error = FindModel(request.model, adapter);
  if (error) return exchange->Answer(ErrorResponse(*error));
  const model::Tokenizer& tokenizer = model->tokenizer();
  std::vector<int32_t> ids;
  if (request.chat) {
    const Result<std::string> text = format.Render(*request.chat, NowSeconds());
    if (!text) {
      return exchange->Answer(
          ErrorResponse({.message = "'messages' do not fit this model's chat template: " +
                                    text.error().ToString(),
                         .param = "messages"}));
    }
    ids = format.Encode(*text);
  } else {
    ids = tokenizer.Encode(
        request.text, request.parse_special ? model::ParseSpecial::kYes : model::ParseSpecial::kNo);
    const bool begin = request.add_special && tokenizer.add_bos() && tokenizer.bos();
    if (begin) ids.insert(ids.begin(), *tokenizer.bos());
  }
  std::vector<std::string> pieces;
  if (request.pieces) {
    for (const int32_t id : ids) pieces.emplace_back(tokenizer.BytesOf(id));
  }
  exchange->Answer(io::JsonResponse(200, wire::TokenizeBody(ids, pieces, engine->context())));
}

void Replica::Impl::Detokenize(const io::HttpExchangePtr& exchange) {
  wire::DetokenizeRequest request;
  auto error = wire::ParseDetokenizeRequest(exchange->request().body, request);
  std::string adapter;
  if (!error) error = FindModel(request.model, adapter);
  if (!error) error = CheckIds(request.tokens, "tokens");
  if (error) return exchange->Answer(ErrorResponse(*error));
  std::string bytes = model->tokenizer().Decode(request.tokens, model::ParseSpecial::kYes);
  exchange->Answer(
      io::JsonResponse(200, wire::DetokenizeBody(model::TakeUtf8(bytes, /*final=*/true))));
}

}  // namespace weir::serve
