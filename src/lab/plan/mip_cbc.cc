// Whole-number programs by Cbc, the branch and cut of COIN-OR.
#include <cmath>
#include <coin/CbcHeuristic.hpp>
#include <coin/CbcHeuristicFPump.hpp>
#include <coin/CbcModel.hpp>
#include <coin/CglGomory.hpp>
#include <coin/CglKnapsackCover.hpp>
#include <coin/CglMixedIntegerRounding2.hpp>
#include <coin/CglProbing.hpp>
#include <coin/CoinError.hpp>
#include <coin/CoinPackedMatrix.hpp>
#include <coin/OsiClpSolverInterface.hpp>

#include "lab/plan/lp.h"

namespace weir::plan {

Result<MipSolution> SolveMip(const LinearProgram& lp, std::span<const int> whole,
                             const MipOptions& options) {
  try {
    OsiClpSolverInterface solver;
    solver.messageHandler()->setLogLevel(0);
    const auto bound = [](double v) {
      return v == kInfinity ? COIN_DBL_MAX : v == -kInfinity ? -COIN_DBL_MAX : v;
    };
    CoinPackedMatrix matrix(false, 0, 0);
    matrix.setDimensions(0, lp.columns());
    std::vector<double> low, high, cost, row_low, row_high;
    for (int j = 0; j < lp.columns(); ++j) {
      low.push_back(bound(lp.low(j)));
      high.push_back(bound(lp.high(j)));
      cost.push_back(lp.cost(j));
    }
    for (int i = 0; i < lp.rows(); ++i) {
      std::vector<int> index;
      std::vector<double> value;
      for (const Entry& e : lp.matrix()[static_cast<size_t>(i)]) {
        index.push_back(e.index);
        value.push_back(e.value);
      }
      matrix.appendRow(static_cast<int>(index.size()), index.data(), value.data());
      row_low.push_back(bound(lp.row_low(i)));
      row_high.push_back(bound(lp.row_high(i)));
    }
    solver.loadProblem(matrix, low.data(), high.data(), cost.data(), row_low.data(),
                       row_high.data());
    for (const int j : whole) solver.setInteger(j);
    solver.setHintParam(OsiDoReducePrint, true, OsiHintTry);

    CbcModel model(solver);
    model.setLogLevel(0);
    model.messageHandler()->setLogLevel(0);
    model.solver()->messageHandler()->setLogLevel(0);
    model.setAllowableFractionGap(options.relative_gap);
    model.setMaximumNodes(static_cast<int>(options.max_nodes));
    model.setMaximumSeconds(options.max_seconds);
    model.setNumberThreads(0);
    model.setRandomSeed(1);
    CglProbing probing;
    probing.setMaxPass(1);
    probing.setMaxProbe(10);
    probing.setRowCuts(3);
    CglGomory gomory;
    CglKnapsackCover cover;
    CglMixedIntegerRounding2 rounding;
    model.addCutGenerator(&probing, -1, "probing");
    model.addCutGenerator(&gomory, -1, "gomory");
    model.addCutGenerator(&cover, -1, "cover");
    model.addCutGenerator(&rounding, -1, "rounding");
    CbcRounding simple(model);
    model.addHeuristic(&simple);
    CbcHeuristicFPump pump(model);
    pump.setMaximumPasses(20);
    if (options.start.empty()) model.addHeuristic(&pump);
    if (!options.start.empty()) {
      double objective = 0;
      for (int j = 0; j < lp.columns(); ++j)
        objective += lp.cost(j) * options.start[static_cast<size_t>(j)];
      model.setBestSolution(options.start.data(), lp.columns(), objective, true);
    }
    model.initialSolve();
    MipSolution out;
    if (model.solver()->isProvenPrimalInfeasible()) return out;
    if (model.solver()->isProvenDualInfeasible()) {
      out.outcome = Outcome::kUnbounded;
      return out;
    }
    model.branchAndBound();
    out.stopped = model.isSecondsLimitReached() || model.isNodeLimitReached();
    if (model.bestSolution() == nullptr) {
      if (out.stopped)
        return Error(Code::kDeadlineExceeded,
                     fmt::format("no whole-number answer within {} nodes or {:.0f} s",
                                 options.max_nodes, options.max_seconds))
            .Hint("give it longer, or larger lots");
      return out;  // infeasible
    }
    out.outcome = Outcome::kOptimal;
    out.x.assign(model.bestSolution(), model.bestSolution() + lp.columns());
    for (const int j : whole)
      out.x[static_cast<size_t>(j)] = std::round(out.x[static_cast<size_t>(j)]);
    out.objective = model.getObjValue();
    out.bound = std::min(out.objective, model.getBestPossibleObjValue());
    return out;
  } catch (const CoinError& e) {
    return Error(Code::kInternal, fmt::format("the integer solver failed: {}", e.message()));
  }
}

}  // namespace weir::plan
