#include "lab/blueprint/hardware.h"

#include <fmt/format.h>

#include <cctype>

#include "lab/blueprint/model_shape.h"
#include "lab/blueprint/suggest.h"

namespace weir::blueprint {

std::string_view NameOf(Precision p) {
  switch (p) {
    case Precision::kBf16:
      return "bf16";
    case Precision::kFp8:
      return "fp8";
    case Precision::kMxfp8:
      return "mxfp8";
    case Precision::kNvfp4:
      return "nvfp4";
  }
  return "?";
}

Result<Precision> ParsePrecision(std::string_view text) {
  std::string t = PlainName(text);
  if (t == "bf16" || t == "fp16" || t == "bfloat16" || t.empty()) return Precision::kBf16;
  if (t == "fp8" || t == "fp8cs" || t == "fp8block" || t == "fp8sc") return Precision::kFp8;
  if (t == "mxfp8" || t == "fp8mx") return Precision::kMxfp8;
  if (t == "nvfp4" || t == "fp4" || t == "mxfp4") return Precision::kNvfp4;
  return Error(Code::kInvalidArgument, fmt::format("precision \"{}\" is not known", text))
      .Hint("one of bf16, fp8, mxfp8, nvfp4");
}

double Accelerator::Flops(Precision p) const {
  switch (p) {
    case Precision::kBf16:
      return bf16_flops;
    case Precision::kFp8:
      return fp8_flops;
    case Precision::kMxfp8:
      return microscaling ? fp8_flops : 0;
    case Precision::kNvfp4:
      return fp4_flops;
  }
  return 0;
}

namespace {

constexpr double kT = 1e12, kG = 1e9, kGi = 1024.0 * 1024 * 1024;

std::vector<Accelerator> MakeAccelerators() {
  std::vector<Accelerator> out;
  // Peaks and bandwidths are the vendors' spec sheets (dense, without sparsity); node power is the
  // vendors' figure for the whole node or rack at full load, divided by its accelerators.
  const auto add = [&](std::string name, std::vector<std::string> aliases, double bf16, double fp8,
                       double fp4, double mem_gib, double mem_gbs, double link_gbs, double nic_gbs,
                       double watts, double node_watts) -> Accelerator& {
    Accelerator a;
    a.name = std::move(name);
    a.aliases = std::move(aliases);
    a.bf16_flops = bf16 * kT;
    a.fp8_flops = fp8 * kT;
    a.fp4_flops = fp4 * kT;
    a.memory_bytes = mem_gib * kGi;
    a.memory_bytes_per_s = mem_gbs * kG;
    a.link_bytes_per_s = link_gbs * kG;
    a.nic_bytes_per_s = nic_gbs * kG;
    a.watts = watts;
    a.node_watts = node_watts;
    out.push_back(std::move(a));
    return out.back();
  };
  {
    Accelerator& v = add("v100-sxm", {"v100", "V100-16GB", "V100-32GB", "DGX-V100"}, 125, 0, 0, 32,
                         900, 150, 12.5, 300, 440);
    v.mesh_rings = {1, 2, 4, 2, 2, 4, 6};
  }
  add("a100-40gb", {"A100-40GB", "a100-sxm-40gb"}, 312, 0, 0, 40, 1555, 300, 25, 400, 812);
  add("a100-sxm", {"a100", "a100_sxm", "A100-80GB", "DGX-A100"}, 312, 0, 0, 80, 2039, 300, 25, 400,
      812);
  add("a100-pcie", {"a100_pcie", "A100-80GB-PCIe", "A100-80GB-PCIe-NVLink"}, 312, 0, 0, 80, 1935,
      32, 25, 300, 600);
  add("h100-sxm", {"h100", "h100_sxm", "H100-80GB", "DGX-H100"}, 989, 1979, 0, 80, 3350, 450, 50,
      700, 1275);
  add("h100-pcie", {"h100_pcie", "H100-80GB-PCIe", "H100-80GB-PCIe-NVLink"}, 756, 1513, 0, 80, 2000,
      64, 50, 350, 700);
  add("h100-nvl", {"H100-94GB-NVL"}, 835, 1671, 0, 94, 3938, 300, 50, 400, 800);
  add("h200-sxm", {"h200", "h200_sxm", "H200-141GB", "DGX-H200"}, 989, 1979, 0, 141, 4800, 450, 50,
      700, 1275);
  {
    Accelerator& gh = add("gh200", {"GH200-96GB"}, 989, 1979, 0, 96, 4000, 450, 50, 900, 1100);
    gh.node = gh.domain = 1;
  }
  const auto blackwell = [](Accelerator& a) -> Accelerator& {
    a.microscaling = true;
    return a;
  };
  blackwell(add("b200-sxm", {"b200", "b200_sxm", "B200-180GB", "DGX-B200"}, 2250, 4500, 9000, 180,
                7700, 900, 50, 1000, 1788));
  blackwell(add("b300-sxm", {"b300", "b300_sxm", "B300-262GB", "B300-275GB", "DGX-B300"}, 2250,
                4500, 14000, 268, 7750, 900, 100, 1100, 1813));
  for (Accelerator* rack : {&blackwell(add("gb200", {"GB200-192GB", "DGX-GB200", "gb200-nvl72"},
                                           2500, 5000, 10000, 185, 8000, 900, 50, 1200, 1667))}) {
    rack->node = 4;
    rack->domain = 72;
  }
  {
    Accelerator& rack = blackwell(add("gb300", {"GB300-278GB", "DGX-GB300", "gb300-nvl72"}, 2500,
                                      5000, 15000, 277, 8000, 900, 100, 1400, 1889));
    rack.node = 4;
    rack.domain = 72;
  }
  add("l40s", {"L40S-48GB"}, 362, 733, 0, 48, 864, 32, 25, 350, 550);
  add("l40", {"L40-48GB"}, 181, 362, 0, 48, 864, 32, 25, 300, 500);
  add("l4", {"L4-24GB"}, 121, 242, 0, 24, 300, 32, 12.5, 72, 150);
  add("a10", {"A10-24GB"}, 125, 0, 0, 24, 600, 32, 12.5, 150, 250);
  add("a30", {"A30-24GB"}, 165, 0, 0, 24, 933, 32, 25, 165, 300);
  add("rtx-a6000", {"A6000-48GB", "A6000"}, 155, 0, 0, 48, 768, 32, 12.5, 300, 450);
  blackwell(add("rtx-pro-6000", {"RTXPRO6000-96GB", "rtx_pro_6000_server"}, 468, 936, 1871, 96,
                1792, 64, 50, 600, 900));
  add("t4", {"T4-16GB"}, 65, 0, 0, 16, 320, 16, 6.25, 70, 150);
  add("mi300x", {"MI300X-192GB"}, 1307, 2615, 0, 192, 5300, 448, 50, 750, 1300);
  blackwell(add("mi355x", {"MI355X-288GB"}, 2500, 5000, 10000, 288, 8000, 538, 50, 1400, 2000));
  {
    Accelerator& v5p = add("tpu-v5p", {"TPU-v5p-chip"}, 459, 0, 0, 95, 2765, 300, 25, 350, 600);
    v5p.node = 4;
    v5p.domain = 8960;
    Accelerator& v6e = add("tpu-v6e", {"TPU-v6e-chip"}, 918, 0, 0, 32, 1640, 224, 25, 300, 500);
    v6e.node = 8;
    v6e.domain = 256;
  }
  return out;
}

}  // namespace

const std::vector<Accelerator>& AcceleratorPresets() {
  static const std::vector<Accelerator> presets = MakeAccelerators();
  return presets;
}

Result<Accelerator> FindAccelerator(std::string_view name) {
  const std::string wanted = PlainName(name);
  std::vector<std::string> known;
  for (const Accelerator& a : AcceleratorPresets()) {
    if (PlainName(a.name) == wanted) return a;
    for (const std::string& alias : a.aliases)
      if (PlainName(alias) == wanted) return a;
    known.push_back(a.name);
  }
  return Error(Code::kNotFound, fmt::format("accelerator \"{}\" is not known", name))
      .Hint(Suggest(name, known, "weir blueprint accelerators", "or describe it in a TOML file"));
}

Status Validate(const Accelerator& a) {
  const struct {
    const char* name;
    double value;
  } needed[] = {{"bf16", a.bf16_flops},
                {"memory", a.memory_bytes},
                {"memory_bandwidth", a.memory_bytes_per_s},
                {"link_bandwidth", a.link_bytes_per_s},
                {"nic_bandwidth", a.nic_bytes_per_s},
                {"power", a.watts}};
  for (const auto& f : needed) {
    if (!(f.value > 0))
      return Error(Code::kInvalidArgument,
                   fmt::format("accelerator \"{}\": {} must be above zero", a.name, f.name))
          .Hint("docs/blueprint.md lists the fields of an accelerator file, with units");
  }
  if (a.node < 1 || a.domain < 1 || a.node > 1024 || a.domain > 65536)
    return Error(Code::kInvalidArgument,
                 fmt::format("accelerator \"{}\": node ({}) and domain ({}) count accelerators and "
                             "must be at least 1",
                             a.name, a.node, a.domain));
  return {};
}

}  // namespace weir::blueprint
