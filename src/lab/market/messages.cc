#include "wire/instantiate.h"

#include "lab/market/messages.h"
#include "lab/market/views.h"

#include <fmt/format.h>

namespace weir::wire::schema_internal {
template <>
Json WriteMessage<market::Date>(const market::Date& d) {
  return market::Text(d);
}
template <>
Status ReadMessage<market::Date>(const Json& json, market::Date& d, const std::string& path) {
  if (!json.is_string()) return WrongType(path, "a day as \"2027-03-01\"", json);
  const std::string& text = json.get_ref<const std::string&>();
  d = text.empty() ? market::kNoDate : TRY(market::ParseDate(text, path));
  return {};
}
template <>
Json DescribeMessage<market::Date>() {
  return {{"type", "string"}, {"x-unit", "a day as 2027-03-01; empty = not set"}};
}
}  // namespace weir::wire::schema_internal

namespace weir::market {

OfferView Viewed(const Offer& o, Date today) { return {o, std::string(NameOf(StateOn(o, today)))}; }
ContractView Viewed(const Contract& c, Date today) {
  return {c,
          std::string(NameOf(PhaseOn(c, today))),
          QuantityOn(c, today, today),
          EndOn(c, today),
          NoticeBy(c, today),
          PriceOn(c, today, today)};
}

Result<std::string> Take(Contract& c, const StepRequest& s, Date today) {
  const Date on = s.on.is_set() ? s.on : today;
  Status done = [&]() -> Status {
    switch (s.step) {
      case Step::kSign:
        return Sign(c, on, today);
      case Step::kDeliver:
        return Deliver(c, s.quantity, on, today);
      case Step::kNotice:
        return GiveNotice(c, on, today);
      case Step::kRenew:
        return Renew(c, today);
      case Step::kLeave:
        return Leave(c, on, today);
      case Step::kAvailability:
        return NoteAvailability(c, s.month, s.availability_ppm, today);
      case Step::kClaim:
        return ClaimCredit(c, s.month, on, today);
    }
    return {};
  }();
  TRY(std::move(done));
  return fmt::format("{}: {}", c.id, wire::NameOf(s.step));
}

Result<Book> ReadBook(std::string_view text, std::string_view source) {
  auto book = wire::FromText<Book>(text);
  if (!book) return std::move(book).error().In(source);
  const auto check = [&](const std::string& id, const Status& status) -> Status {
    if (status) return {};
    return Error(status.error()).In(fmt::format("{}: {}", source, id));
  };
  if (!IsCurrency(book->currency))
    return Error(Code::kInvalidArgument,
                 fmt::format("{}: currency: \"{}\" is none", source, book->currency))
        .Hint("write three letters: USD, EUR");
  if (book->offers.size() > kMaxOffers || book->contracts.size() > kMaxContracts)
    return Error(Code::kTooLarge, fmt::format("{}: more than {} offers or {} contracts", source,
                                              kMaxOffers, kMaxContracts));
  for (const Offer& o : book->offers) TRY(check(o.id, Validate(o)));
  for (const Contract& c : book->contracts) TRY(check(c.id, Validate(c)));
  return book;
}

// Text from outside may not be UTF-8; what is not is replaced, for a book must always be readable.
std::string WriteBook(const Book& b) {
  return wire::ToJson(b).dump(1, ' ', false, wire::Json::error_handler_t::replace) + "\n";
}

}  // namespace weir::market
