// Who cost what: leases times the price of the contract that they ran on, to the micro-unit.
//
// Contracts of one accelerator at one site make a pool. At each instant the slots in use fill the
// pool's contracts in the order in which they are cheapest to use: what is paid for anyway first
// (highest take-or-pay), then by price; every lease holds the same part of each. In a calendar
// month a contract costs
//
//     owed = max(floor, used hours x price)
//
// of which each team pays its used hours times the price, and what is left over is idle. So for
// every contract and month the entries and the idle cost add up to what is owed, exactly.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/market/book.h"
#include "lab/market/focus.h"

namespace weir::market {

// A lease as the ledger sees it.
struct Use {
  std::string lease, team, holder;
  std::string accelerator;  // a name or a site's word for it (IsOfType); "" = whatever it has
  std::string site;         // "" = any
  Time from, to;
  int64_t slots = 0;
  std::string loan;  // that it uses; "" = own or idle capacity
};
// Who lent to a loan: slots by team.
struct LoanShare {
  std::string loan;
  std::vector<std::pair<std::string, int64_t>> lenders;
};

// One line of the ledger.
struct Entry {
  int month = 0;
  std::string contract, team, loan;
  int64_t slot_seconds = 0;
  Money cost;
};
struct ContractMonth {
  int month = 0;
  std::string contract;
  int64_t had_seconds = 0, used_seconds = 0;  // of accelerators
  Money gross, floor, used, owed, idle;       // owed = used by teams + idle
  Money due;  // that an invoice should ask for: owed, prepayment and credits counted
};
struct LoanCost {
  std::string loan, lender;  // "" = idle capacity
  Money cost;
};
struct Ledger {
  std::string currency;
  std::vector<Entry> entries;          // by month, contract, team, loan
  std::vector<ContractMonth> months;   // by month, contract
  std::vector<LoanCost> loans;         // by loan, lender
  int64_t uncovered_slot_seconds = 0;  // leases beyond what any contract provided
  Money idle() const;
  Money owed() const;
};
inline constexpr size_t kMaxUses = 5'000'000;

// The months [first, last] of contracts and leases, as known on `today`; leases that still run end
// at `today`'s end. Amounts in the book's currency.
Result<Ledger> MakeLedger(const Book& b, const std::vector<Use>& uses,
                          const std::vector<LoanShare>& shares, int first_month, int last_month,
                          Date today);

// ---- leases from a table: lease, team, accelerator, slots, from, to, and site, holder, loan,
// lender ("research:8;vision:4") where there is one ----
struct UseTable {
  std::vector<Use> uses;
  std::vector<LoanShare> shares;
};
Result<UseTable> ReadUses(std::string_view text, std::string_view source,
                          const AcceleratorNames& accelerators);

// ---- against invoices ----

// As FOCUS rows: a recurring purchase per contract and month (and a one-time one for a prepayment),
// each team's use as Used, what was idle as Unused.
FocusTable ToFocus(const Book& b, const Ledger& ledger, std::string_view lab);

struct Difference {
  std::string kind;      // "price", "quantity", "amount", "not invoiced", "not known", "twice"
  std::string contract;  // or what the invoice names
  int month = 0;
  Money expected, billed;
  std::string what;
  int line = 0;  // of the invoice; 0: several or none
};
// Invoice against ledger, by contract and month. A row belongs to the contract that its
// CommitmentDiscountId, ResourceId or SubAccountId names, by our id or the offer's name.
Result<std::vector<Difference>> Reconcile(const Book& b, const Ledger& ledger,
                                          const FocusTable& invoice);

// ---- ahead ----

struct BurnDown {
  std::string contract;
  Money committed;  // floor over the whole life
  Money used;       // by leases so far
  Money wasted;     // floor of past months beyond what was used
  int months_past = 0, months_left = 0;
  double use_share = 0;  // of the delivered hours, in the ledger's last whole month
  Money true_up;         // forecast: paid over the whole life though not used, at that share
};
std::vector<BurnDown> BurnDowns(const Book& b, const Ledger& ledger, Date today);

struct BudgetState {
  Budget budget;
  Money spent;
  Money forecast;      // at the end of its months, at the pace so far
  int month_over = 0;  // in which it is used up at that pace; 0: it is not
};
std::vector<BudgetState> BudgetStates(const Book& b, const Ledger& ledger, Date today);

}  // namespace weir::market
