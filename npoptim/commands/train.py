"""`npoptim train`: a model on data, with one optimizer or all of them."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any

HELP = "train a model on data with one optimizer, or compare all"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim train`."""
    from npoptim.cli import count, folder, positive

    parser.add_argument("model", help="softmax, mlp, conv, transformer, …")
    parser.add_argument("--data", help="the data set, by default the model's own")
    parser.add_argument("--optimizer", default="adam", help="its name, or 'all' for a table")
    parser.add_argument("--lr", help="a number, or 'default' for the class's own; else a recipe's")
    parser.add_argument("--epochs", type=count, default=30, metavar="N", help="default: 30")
    parser.add_argument("--steps", type=count, metavar="N", help="in place of --epochs")
    parser.add_argument("--batch-size", type=positive, default=64, metavar="N", help="default: 64")
    parser.add_argument("--clip", type=float, help="largest global gradient norm")
    parser.add_argument("--seed", type=count, default=0)
    parser.add_argument("--float64", action="store_true", help="train in float64, not float32")
    parser.add_argument("--checkpoint", help="file to save to every epoch")
    parser.add_argument("--resume", action="store_true", help="go on from --checkpoint")
    parser.add_argument("--out", type=folder, default="npoptim-out", help="folder of the picture")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> int:
    """Train, print a line or a table, draw the curves."""
    import npoptim as npo
    from npoptim import parallel, recipes
    from npoptim.cli import chosen_optimizers
    from npoptim.view import plots, tables
    from npoptim.view.files import save_figure, writable

    data = npo.data.load(args.data or recipes.DATA.get(args.model, "digits"))
    model = npo.models.for_data(args.model, data)
    compare = args.optimizer == "all"
    if compare and args.checkpoint:
        raise ValueError("--checkpoint holds one run; name one optimizer, not all.")
    names = list(npo.optimizers()) if compare else chosen_optimizers(args.optimizer)
    per_epoch = math.ceil(len(data.x_train) / args.batch_size)
    steps = args.epochs * per_epoch if args.steps is None else args.steps
    writable(args.out)

    rows, histories = [], {}
    for name in names:
        opt, rate = _optimizer(args, name, steps)
        history = _train(args, model, data, opt, steps)
        histories[name] = history
        rows.append(_row(name, rate, history))
        if compare:
            plain = _train(args, model, data, npo.get_optimizer(name), steps)
            rows[-1]["at the default lr"] = _result(plain)
    comm = parallel.world()
    if comm is not None and comm.Get_rank() > 0:
        return 0
    about = f"{model!r} on {data.name}, {steps} steps of {args.batch_size}, seed {args.seed}"
    ranks = 0 if comm is None else comm.Get_size()
    about += f", {ranks} rank{'s' * (ranks > 1)}" if ranks else ""
    title = f"{type(model).__name__} on {data.name}"
    figure = plots.curves(histories, title=title, caption=about)
    picture = save_figure(figure, args.out / f"train_{args.model}_{data.name}_{args.optimizer}.png")
    extra = _language(args, model, data, histories) if data.task == "language" else {}
    if args.json:
        print(json.dumps({"about": about, "rows": rows, **extra, "files": [str(picture)]}))
        return 0
    print(about)
    print(f"data: {data.source} ({data.licence})")
    print(tables.records(rows))
    for key, value in extra.items():
        print(f"{key}: {value}")
    print(f"picture: {picture}")
    return 0


def _optimizer(args: argparse.Namespace, name: str, steps: int) -> tuple[Any, str]:
    """The optimizer and, in words, the rate it runs at."""
    import npoptim as npo
    from npoptim import recipes

    if args.lr is None:
        hyper = recipes.rate(args.model, name, steps)
    elif args.lr == "default":
        hyper = {}
    else:
        try:
            hyper = {"lr": float(args.lr)}
        except ValueError:
            raise ValueError(f"--lr must be a number or 'default'. Got {args.lr!r}.") from None
    opt = npo.get_optimizer(name, **hyper)
    return opt, f"{opt.hyper()['lr']}" + ("" if hyper else " (default)")


def _train(args: argparse.Namespace, model: Any, data: Any, opt: Any, steps: int) -> Any:
    import numpy as np

    import npoptim as npo
    from npoptim.parallel import DataParallel, aborting

    with aborting():  # a rank that fails here would leave the others waiting
        return npo.train(
            DataParallel(model), data, opt, steps=steps, batch_size=args.batch_size,
            seed=args.seed, dtype=np.float64 if args.float64 else np.float32, clip=args.clip,
            nan_policy="propagate", checkpoint=args.checkpoint, resume=args.resume,
            progress=sys.stderr.isatty(),
        )  # fmt: skip


def _row(name: str, rate: str, history: Any) -> dict[str, Any]:
    final = float(history.test_loss[-1]) if len(history.test_loss) else float("nan")
    return {
        "optimizer": name,
        "lr": rate,
        "train loss": float(history.loss[-1]) if history.steps else float("nan"),
        "test loss": final,
        "test accuracy": _result(history),
        "state bytes": history.optimizer.state_nbytes,
    }


def _result(history: Any) -> str:
    """Test accuracy, or what became of the run."""
    if history.skipped:
        return "diverged"
    known = len(history.accuracy) and history.accuracy[-1] == history.accuracy[-1]
    return f"{history.accuracy[-1]:.1%}" if known else "–"


def _language(args: argparse.Namespace, model: Any, data: Any, histories: Any) -> dict[str, Any]:
    """What a counted trigram model reaches on the same text, and samples."""
    import numpy as np

    from npoptim.models import trigram_loss

    best = min((trigram_loss(data, k), k) for k in (0.01, 0.03, 0.1, 0.3, 1.0))
    history = next(iter(histories.values()))
    samples = model.sample(history.params, np.random.default_rng(args.seed), count=10)
    return {
        "held-out loss of a counted trigram model": f"{best[0]:.4f} nats (add-k, best k {best[1]})",
        "samples": ", ".join(data.tokenizer.decode(row) for row in samples),
    }
