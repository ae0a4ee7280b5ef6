// What is due when, and its form as iCalendar.
#include <fmt/format.h>

#include <algorithm>

#include "lab/market/book.h"

namespace weir::market {

namespace {
void DueOf(const Contract& c, Date from, Date to, Date today, std::vector<Due>& out) {
  const auto add = [&](Date on, std::string kind, std::string what) {
    if (on.is_set() && on >= from && on <= to)
      out.push_back({on, c.id, std::move(kind), std::move(what)});
  };
  const std::string who =
      fmt::format("{} ({}, {} {})", c.id, c.provider, c.quantity, c.terms.accelerator);
  if (!c.signed_on.is_set()) {
    add(c.start, "starts if signed", fmt::format("{} would start", who));
    return;
  }
  const Date end = EndOn(c, today);
  for (const Delivery& d : c.deliveries) {
    if (!d.delivered.is_set())
      add(d.promised, "delivery", fmt::format("{}: {} accelerators are promised", who, d.quantity));
  }
  for (const PriceStep& s : c.terms.steps) {
    const Date on = AddMonths(c.start, s.month);
    if (on < end)
      add(on, "price step",
          fmt::format("{}: the price becomes {} an hour", who,
                      HumanPrice(s.price, c.terms.currency)));
  }
  for (const SwapOption& s : c.terms.swaps)
    add(AddMonths(c.start, s.from_month), "swap option",
        fmt::format("{}: can be swapped for {} from now on", who, s.accelerator));
  if (const Date by = NoticeBy(c, today); by.is_set())
    add(by, "notice by",
        fmt::format("{}: last day for notice, or it renews on {} for {} months", who, Text(end),
                    c.terms.renewal_months > 0 ? c.terms.renewal_months : c.terms.term_months));
  for (const SlaMonth& m : c.sla_months) {
    if (!m.claimed.is_set() && CreditOf(c, m.month, m.availability_ppm, today).micro > 0)
      add(ClaimBy(c, m.month), "claim by",
          fmt::format("{}: last day to claim {} for {}", who,
                      Human(CreditOf(c, m.month, m.availability_ppm, today), c.terms.currency),
                      MonthText(m.month)));
  }
  if (c.terms.term_months > 0 || c.notice_on.is_set())
    add(end, "ends", fmt::format("{}: ends; {} accelerators go", who, c.quantity));
}

// RFC 5545: commas, semicolons and backslashes of text are escaped, lines end in CRLF and are
// folded so that none is longer than 75 octets; never within a UTF-8 character.
std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == ',' || c == ';') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out;
}

void Line(std::string& out, std::string_view text) {
  size_t limit = 75;
  while (text.size() > limit) {
    size_t cut = limit;
    while (cut > 1 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
    out += text.substr(0, cut);
    out += "\r\n ";
    text.remove_prefix(cut);
    limit = 74;  // the blank at the front counts
  }
  out += text;
  out += "\r\n";
}

std::string Compact(std::string_view text) {  // digits, T and Z of a date or an instant
  std::string out;
  for (const char c : text)
    if (c != '-' && c != ':') out += c;
  return out;
}
}  // namespace

std::vector<Due> DueBetween(const Book& b, Date from, Date to, Date today) {
  std::vector<Due> out;
  for (const Offer& o : b.offers) {
    if (o.decided != OfferState::kOpen || !o.expires.is_set()) continue;
    if (o.expires >= from && o.expires <= to)
      out.push_back({o.expires, o.id, "offer expires",
                     fmt::format("{} ({}, {} {} at {} an hour) lapses after that day", o.id,
                                 o.provider, o.terms.quantity, o.terms.accelerator,
                                 HumanPrice(o.terms.price, o.terms.currency))});
  }
  for (const Contract& c : b.contracts) DueOf(c, from, to, today, out);
  std::stable_sort(out.begin(), out.end(), [](const Due& a, const Due& x) { return a.on < x.on; });
  return out;
}

std::string ICalendar(const std::vector<Due>& due, Time stamp) {
  std::string out;
  Line(out, "BEGIN:VCALENDAR");
  Line(out, "VERSION:2.0");
  Line(out, "PRODID:-//Weir//market//EN");
  Line(out, "CALSCALE:GREGORIAN");
  const std::string stamped = Compact(InstantText({stamp.us / 1'000'000 * 1'000'000}));
  std::map<std::string, int> same;  // two deliveries may fall on one day
  for (const Due& d : due) {
    std::string kind = d.kind;
    std::replace(kind.begin(), kind.end(), ' ', '-');
    Line(out, "BEGIN:VEVENT");
    std::string uid = fmt::format("{}-{}-{}", d.of, kind, Compact(Text(d.on)));
    if (const int n = ++same[uid]; n > 1) uid += fmt::format("-{}", n);
    Line(out, fmt::format("UID:{}@weir", uid));
    Line(out, "DTSTAMP:" + stamped);
    Line(out, "DTSTART;VALUE=DATE:" + Compact(Text(d.on)));
    Line(out, "DTEND;VALUE=DATE:" + Compact(Text(d.on + 1)));
    Line(out, "SUMMARY:" + Escaped(fmt::format("{}: {}", d.kind, d.of)));
    Line(out, "DESCRIPTION:" + Escaped(d.what));
    Line(out, "TRANSP:TRANSPARENT");
    if (d.kind.ends_with(" by") || d.kind == "offer expires") {
      Line(out, "BEGIN:VALARM");
      Line(out, "ACTION:DISPLAY");
      Line(out, "TRIGGER:-P14D");
      Line(out, "DESCRIPTION:" + Escaped(fmt::format("in two weeks: {} {}", d.kind, d.of)));
      Line(out, "END:VALARM");
    }
    Line(out, "END:VEVENT");
  }
  Line(out, "END:VCALENDAR");
  return out;
}

}  // namespace weir::market
