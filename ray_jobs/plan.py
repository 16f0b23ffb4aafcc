"""Plan a road: nodes, hours, memory and cost of every job, from measured and published rates. Runs nothing."""

from ray_jobs.job import main
from ray_jobs.plan_rates import RateTable
from ray_jobs.planning import Line, Plan, PlanSettings, make_plan
from reporting.page import Table
from reporting.terminal import print_table


def run(settings: PlanSettings) -> None:
    plan = make_plan(settings)
    print_table(_jobs(plan), f"{settings.notes:,} notes, {plan.chunks:,} chunks, variant {settings.variant}")
    print("\nrates:")
    for name in dict.fromkeys(name for line in (*plan.road, *plan.serving) for name in line.rests_on):
        rate = plan.table.rates[name]
        print(f"- {name}: {rate}, {rate.source}; {rate.machine}")
    kinds = dict.fromkeys(line.node for line in (*plan.road, *plan.serving))
    print("\nnodes:")
    for kind in kinds:
        of = plan.table.node_types[kind]
        print(f"- {kind}: like {of.like}, {of.usd_per_hour:g} USD an hour")
    print(f"packaged prices are of {plan.table.prices.as_of}: {plan.table.prices.source}\n")
    print("not in it: starting machines, storage, traffic, failed tries. Work is taken to shrink in a line with nodes.")


def _jobs(plan: Plan) -> Table:
    rows = [_row(line, plan.table) for line in plan.road]
    rows.append(["the road, once", "", "", _hours(plan.road), "", _cost(plan.road), ""])
    rows += [_row(line, plan.table) for line in plan.serving]
    rows.append(["serving", "", "", _number(plan.serving[0].hours), "", _cost(plan.serving), ""])
    return Table(["job", "on", "nodes", "hours", "GB a node", "USD", "main rate"], rows)


def _row(line: Line, table: RateTable) -> list[str]:
    memory = "not measured"
    if line.memory_gb is not None:
        has = table.node_types[line.node].memory_gb
        memory = f"{_number(line.memory_gb)} of {has:g}" + (": too much" if line.memory_gb > has else "")
    first = table.rates[line.rests_on[0]] if line.rests_on else None
    main_rate = f"{line.rests_on[0]}, {first.kind}" if first else "as many as replicas"
    return [line.job, line.node, str(line.nodes), _number(line.hours), memory, f"{line.cost_usd:,.2f}", main_rate]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _hours(lines: list[Line]) -> str:
    return _number(sum(line.hours for line in lines))


def _cost(lines: list[Line]) -> str:
    return f"{sum(line.cost_usd for line in lines):,.2f}"


if __name__ == "__main__":
    main(PlanSettings, run, on_ray=False)
