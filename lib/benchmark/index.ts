export { benchModel, type BandwidthResult, type BenchOptions, type BenchReport, type BenchResult } from "./bench_model";
export { compareBuilds, type BuildComparison, type CompareBuildsOptions } from "./compare_builds";
export {
  benchKernels,
  SHAPES_2B4T,
  type KernelBenchLine,
  type KernelBenchOptions,
  type KernelBenchReport,
  type MachineLimits,
  type WeightSource,
} from "./kernels";
export { kernelsCsv } from "./kernels_csv";
export { kernelsHtml } from "./kernels_html";
export { measurePerplexity, type PerplexityOptions, type PerplexityResult } from "./perplexity";
