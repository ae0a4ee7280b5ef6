// Tables from outside: offers, invoices, leases, and the book itself. What is read must write back
// to what reads the same.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "lab/market/focus.h"
#include "lab/market/import.h"
#include "lab/market/ledger.h"
#include "lab/market/messages.h"

namespace weir::market {
namespace {
Result<std::string> AnyName(std::string_view name) { return std::string(name); }

void Try(std::string_view text) {
  const Date today = Date::Of(2026, 11, 22);
  ImportOptions options{today, "provider", Date::Of(2027, 1, 1), AnyName};
  if (const auto read = ReadOffers(text, "fuzz", options)) {
    const std::string once = WriteOffers(read->offers);
    const auto again = ReadOffers(once, "fuzz", options);
    CHECK(again.has_value());
    CHECK(again->problems.empty());
    CHECK(WriteOffers(again->offers) == once);
    Book book;
    for (const Offer& o : read->offers) (void)PutOffer(book, o, today);
    CHECK(ReadBook(WriteBook(book), "fuzz").has_value());
  }
  if (const auto read = FocusTable::Parse(text)) {
    (void)Validate(*read, Strictness::kComplete);
    (void)BalanceOf(*read);
    if (read->columns().size() > 1) {
      const auto again = FocusTable::Parse(read->ToCsv());
      CHECK(again.has_value());
      CHECK(again->ToCsv() == read->ToCsv());
    }
    (void)Reconcile(Book{}, Ledger{}, *read);
  }
  if (const auto read = ReadUses(text, "fuzz", AnyName))
    (void)MakeLedger(Book{}, read->uses, read->shares, MonthOf(today), MonthOf(today), today);
  if (const auto book = ReadBook(text, "fuzz")) {
    for (const Contract& c : book->contracts) (void)Obligations(c, today);
    (void)ICalendar(DueBetween(*book, today, today + 400, today), today.Start());
  }
}
}  // namespace
}  // namespace weir::market

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 1 << 16) return 0;
  weir::market::Try(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
