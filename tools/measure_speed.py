"""How fast is a training step of the small LVDM, beside what the machine can multiply, and where does the rest go?

    python tools/measure_speed.py          # about a minute, on one thread of a quiet machine

The yardstick is the fastest of a few large bf16 matrix products on one thread. A step's own work is counted by PyTorch
(forward and backward). Results go to nbs/measured/speed.json, which the page on scale prints.
"""
import json
import time
from collections import Counter
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from echovdiff.core.files import write_json
from echovdiff.core.random import BatchRandom, seeded
from echovdiff.phase.axis import phase_grid
from echovdiff.models.lvdm import LVDM
from echovdiff.training.trainer import fast_precision

OUT = Path(__file__).parents[1] / 'nbs/measured/speed.json'
KINDS = {'matrix products': ('mm', 'linear', 'matmul', 'einsum', 'mkldnn'), 'norms': ('norm',), 'softmax': ('softmax',), 'copies and casts': ('copy', 'cat', 'clone', '_to', 'contiguous', 'split', 'fill', 'zero'),
         'activations': ('gelu', 'silu', 'tanh'), 'optimiser': ('adam', '_foreach', 'lerp', 'addcdiv', 'sqrt')}


def gemm(n: int, dtype: torch.dtype) -> float:
    "GFLOP/s of a square product, the best of ten."
    a, b, best = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype), 9e9
    for _ in range(10):
        start = time.perf_counter(); a @ b
        best = min(best, time.perf_counter()-start)
    return 2*n**3/best/1e9


def main():
    torch.set_num_threads(1)
    dtype = torch.bfloat16 if fast_precision() == 'bf16' else torch.float32
    rate = max(gemm(n, dtype) for n in (512, 1024, 2048))
    model = LVDM().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    b, t = 4, 16
    batch = dict(z=torch.randn(b, t, 4, 28, 28, generator=seeded(0)), reps=torch.randn(b, t, 128, generator=seeded(1)), theta=phase_grid(t).expand(b, -1))

    def step():
        optimizer.zero_grad()
        with torch.autocast('cpu', dtype, enabled=dtype == torch.bfloat16): loss = model.loss(batch, BatchRandom(seeded(2)))['loss']
        loss.backward(); torch.nn.utils.clip_grad_norm_(model.parameters(), 1.); optimizer.step()

    with FlopCounterMode(display=False) as counter: step()
    seconds = []
    for _ in range(12):
        start = time.perf_counter(); step(); seconds.append(time.perf_counter()-start)
    with profile(activities=[ProfilerActivity.CPU]) as seen: step()
    spent = Counter()
    for event in seen.key_averages():
        kind = next((k for k, words in KINDS.items() if any(w in event.key.lower() for w in words)), 'other elementwise work')
        spent[kind] += event.self_cpu_time_total
    best, flops, total = min(seconds), counter.get_total_flops(), sum(spent.values())
    result = dict(precision=str(dtype).removeprefix('torch.'), gemm_gflops=rate, step_gflop=flops/1e9, seconds=best, gflops=flops/1e9/best, share=flops/1e9/best/rate,
                  ideal_seconds=flops/1e9/rate, spent={k: v/total for k, v in spent.most_common()})
    write_json(OUT, result)
    print(json.dumps(result, indent=1))


if __name__ == '__main__': main()
