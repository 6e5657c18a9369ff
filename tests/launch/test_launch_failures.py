"""The scripts of launch/ against a cloud that fails: quota, preemption, lost connections, full queues."""

import pytest
import yaml

TPU = ("--name=n", "--zone=z", "--pause=0")
PROGRAM = ("--", "--config=configs/alexnet_ir.py")
SPOT = (*TPU, "--spot", "--share=10.0.0.2:/runs")


def verbs(machine) -> list[str]:
    """What was asked of gcloud, in order."""
    kinds = {"--worker=0": "exit status?"}
    found = []
    for call in machine.calls:
        verb = call[4] if call[3] == "tpu-vm" else f"queue {call[4]}"
        command = next((word for word in call if word.startswith("--command=")), "")
        if verb == "ssh":
            verb = "install" if "uv sync" in command else "run" if "clusterjax.main" in command else kinds[call[7]]
        found.append(verb)
    return found


def test_a_slice_is_created_installed_and_run(machine):
    machine.install("gcloud", 'case "$*" in *" describe "*) exit 1 ;; esac')
    result = machine.launch("tpu_vm.sh", "train", *TPU, *PROGRAM)
    assert result.returncode == 0, result.stderr
    assert verbs(machine) == ["describe", "create", "scp", "install", "run"]
    assert all("--worker=all" in call for call in machine.calls[2:])


def test_a_slice_that_is_there_is_used(machine):
    machine.install("gcloud", 'case "$*" in *" describe "*) echo READY ;; esac')
    assert machine.launch("tpu_vm.sh", "train", *TPU, *PROGRAM).returncode == 0
    assert verbs(machine) == ["describe", "scp", "install", "run"]


def test_no_quota_ends_it_at_once(machine):
    machine.install(
        "gcloud",
        'case "$*" in *" describe "*) exit 1 ;; *" create "*) echo "RESOURCE_EXHAUSTED: Quota" >&2; exit 1 ;; esac',
    )
    result = machine.launch("tpu_vm.sh", "train", *TPU, *PROGRAM)
    assert result.returncode == 2
    assert "RESOURCE_EXHAUSTED: Quota" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: the slice n could not be had")
    assert verbs(machine) == ["describe", "create"]


def test_a_preempted_slice_is_made_anew_and_the_same_command_run_again(machine):
    machine.install(
        "gcloud",
        """case "$*" in
  *" describe "*) case $(nth describe) in 1) exit 1 ;; *) echo PREEMPTED ;; esac ;;
  *clusterjax.main*) [ "$(nth clusterjax.main)" -gt 2 ] || exit 255 ;;
esac""",
    )
    result = machine.launch("tpu_vm.sh", "train", *SPOT, *PROGRAM)
    assert result.returncode == 0, result.stderr
    once = ["create", "scp", "install", "run"]
    again = ["describe", "describe", "delete", *once]
    assert verbs(machine) == ["describe", *once, *again, *again]
    assert len({tuple(call) for call in machine.calls if "clusterjax.main" in call[-1]}) == 1
    assert all("--spot" in call for call in machine.calls if call[4] == "create")
    assert "attempt 2 of 20 ended early" in result.stderr


def test_after_a_preemption_no_capacity_is_waited_out(machine):
    machine.install(
        "gcloud",
        """case "$*" in
  *" describe "*) exit 1 ;;
  *" create "*) [ "$(nth ' create ')" != 2 ] || exit 1 ;;
  *clusterjax.main*) [ "$(nth clusterjax.main)" -gt 1 ] || exit 255 ;;
esac""",
    )
    result = machine.launch("tpu_vm.sh", "train", *SPOT, *PROGRAM)
    assert result.returncode == 0, result.stderr
    assert [verb for verb in verbs(machine) if verb in ("create", "run")] == [
        "create",
        "run",
        "create",
        "create",
        "run",
    ]


def test_a_lost_connection_runs_the_command_again_on_the_same_slice(machine):
    machine.install(
        "gcloud",
        """case "$*" in
  *" describe "*) echo READY ;;
  *clusterjax.main*) [ "$(nth clusterjax.main)" -gt 1 ] || exit 255 ;;
  *exit_status) echo 143 ;;
esac""",
    )
    result = machine.launch("tpu_vm.sh", "train", *TPU, *PROGRAM)
    assert result.returncode == 0, result.stderr
    assert "create" not in verbs(machine)
    assert "delete" not in verbs(machine)
    assert verbs(machine).count("run") == 2


def test_what_the_program_refuses_is_not_tried_again(machine):
    machine.install(
        "gcloud",
        'case "$*" in *" describe "*) echo READY ;; *clusterjax.main*) exit 1 ;; *exit_status) echo 2 ;; esac',
    )
    result = machine.launch("tpu_vm.sh", "train", *TPU, *PROGRAM)
    assert result.returncode == 2
    assert verbs(machine).count("run") == 1
    assert "the program refuses its flags or data" in result.stderr


def test_it_gives_up_after_the_attempts(machine):
    machine.install("gcloud", 'case "$*" in *" describe "*) echo READY ;; *clusterjax.main*) exit 137 ;; esac')
    result = machine.launch("tpu_vm.sh", "train", *TPU, "--attempts=3", *PROGRAM)
    assert result.returncode == 2
    assert verbs(machine).count("run") == 3
    assert "gave up after 3 attempts" in result.stderr


def test_a_slice_on_its_way_is_left_alone(machine):
    machine.install("gcloud", 'case "$*" in *" describe "*) echo CREATING ;; esac')
    result = machine.launch("tpu_vm.sh", "train", *TPU, *PROGRAM)
    assert result.returncode == 2
    assert "the slice n is CREATING" in result.stderr
    assert verbs(machine) == ["describe"]


@pytest.mark.parametrize(
    ("states", "code", "message"),
    [
        ("WAITING_FOR_RESOURCES PROVISIONING ACTIVE", 0, "waiting for capacity: PROVISIONING"),
        ("WAITING_FOR_RESOURCES FAILED", 1, "error: the request n is FAILED"),
    ],
)
def test_the_queue_is_waited_for(machine, states, code, message):
    machine.install(
        "gcloud", f'states=({states}); case "$*" in *" describe "*) echo "${{states[$(nth describe) - 1]}}" ;; esac'
    )
    result = machine.launch("tpu_vm.sh", "create", *TPU, "--queued")
    assert result.returncode == code
    assert message in result.stderr
    assert verbs(machine) == ["queue create"] + ["queue describe"] * len(states.split())


def test_a_queue_without_end_times_out(machine):
    machine.install("gcloud", 'case "$*" in *" describe "*) echo WAITING_FOR_RESOURCES ;; esac')
    result = machine.launch("tpu_vm.sh", "create", *TPU, "--queued", "--wait=0")
    assert result.returncode == 2
    assert "error: no capacity after 0 s; the request stays in the queue" in result.stderr


def test_results_come_back_from_a_slice(machine):
    machine.install("gcloud")
    assert machine.launch("tpu_vm.sh", "fetch", *TPU, "--to=here").returncode == 0
    assert machine.calls[0][5:] == ["--recurse", "n:clusterjax/runs", "here", "--zone=z", "--worker=0"]
    assert (machine.folder / "here").is_dir()


GKE = ("--name=n", "--namespace=sky", "--image=i", "--claim=c")


def test_a_manifest_goes_to_kubectl(machine):
    machine.install("kubectl", f"cat >{machine.folder}/manifest")
    words = ("--topology=2x4", "--hosts=2", "--spot", "--restarts=7", "--", "--config=it's @NAME@ & $HOME")
    assert machine.launch("gke.sh", "apply", *GKE, *words).returncode == 0
    assert machine.calls == [["kubectl", "apply", "--filename=-"]]
    job_set = yaml.safe_load((machine.folder / "manifest").read_text())
    assert (job_set["apiVersion"], job_set["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert job_set["metadata"]["namespace"] == "sky"
    assert job_set["spec"]["failurePolicy"]["maxRestarts"] == 7
    job = job_set["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert (job["parallelism"], job["completions"], job["backoffLimit"]) == (2, 2, 0)
    pod = job["template"]["spec"]
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "2x4",
        "cloud.google.com/gke-spot": "true",
    }
    [container] = pod["containers"]
    assert container["args"] == ["--distributed", "--config=it's @NAME@ & $HOME"]
    assert container["resources"] == {"limits": {"google.com/tpu": 4}}
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "c"}


def test_gpu_hosts_are_told_of_each_other(machine):
    result = machine.launch("gke.sh", "render", *GKE, "--accelerator=nvidia-l4", "--hosts=3", "--chips=2", *PROGRAM)
    job = yaml.safe_load(result.stdout)["spec"]["replicatedJobs"][0]
    [container] = job["template"]["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    # JobSet's host names: JOBSET-REPLICATED_JOB-JOB_INDEX-POD_INDEX.SUBDOMAIN, the subdomain the job set's own name.
    assert environment["CLUSTERJAX_COORDINATOR"] == f"n-{job['name']}-0-0.n:8476"
    assert environment["CLUSTERJAX_NUM_HOSTS"] == "3"
    assert "CLUSTERJAX_HOST_INDEX" in environment
    assert container["resources"] == {"limits": {"nvidia.com/gpu": 2}}


def test_kubectl_says_what_is_wrong(machine):
    machine.install("kubectl", 'cat >/dev/null; echo "error: no matches for kind JobSet" >&2; exit 1')
    result = machine.launch("gke.sh", "apply", *GKE, "--topology=2x4", *PROGRAM)
    assert result.returncode == 1
    assert "no matches for kind JobSet" in result.stderr


@pytest.mark.parametrize("failing", ["", "wait", "cp"])
def test_fetching_from_a_volume_leaves_no_pod_behind(machine, failing):
    machine.install("kubectl", f'[ "$2" != "{failing}" ] || exit 3')
    result = machine.launch("gke.sh", "fetch", *GKE, "--to=here")
    assert result.returncode == (3 if failing else 0)
    done = ["run", "wait", "cp", "delete"]
    assert [call[2] for call in machine.calls] == [verb for verb in done if failing != "wait" or verb != "cp"]
    overrides = next(word for word in machine.calls[0] if word.startswith("--overrides="))
    assert yaml.safe_load(overrides.split("=", 1)[1])["spec"]["containers"][0]["image"] == "i"


def test_no_partition_is_told_by_sbatch(machine):
    machine.install("uv")
    machine.install("sbatch", 'echo "sbatch: error: invalid partition specified: p" >&2; exit 1')
    result = machine.launch(
        "slurm.sh", "submit", "--name=n", "--partition=p", "--nodes=2", "--gpus-per-node=4", *PROGRAM
    )
    assert result.returncode == 1
    assert "invalid partition" in result.stderr
    assert {"--partition=p", "--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=4"} <= set(machine.calls[-1])


@pytest.mark.parametrize(
    ("code", "restarts", "queued_again"), [(0, "0", False), (143, "0", True), (143, "5", False), (2, "0", False)]
)
def test_the_job_of_slurm_is_queued_again_when_its_time_is_over(machine, code, restarts, queued_again):
    """What sbatch was told to run, run by sh as Slurm does."""
    machine.install("uv")
    machine.install("sbatch", 'for word; do case $word in --wrap=*) sh -c "${word#--wrap=}" ;; esac; done; exit $?')
    machine.install("srun", f"exit {code}")
    machine.install("scontrol")
    result = machine.launch(
        "slurm.sh", "submit", "--name=n", "--restarts=5", *PROGRAM, SLURM_JOB_ID="17", SLURM_RESTART_COUNT=restarts
    )
    assert next(call for call in machine.calls if call[0] == "srun")[-2:] == ["--distributed", PROGRAM[1]]
    assert (["scontrol", "requeue", "17"] in machine.calls) is queued_again
    assert result.returncode in (0, code)


def test_a_container_gets_the_gpu_the_folders_and_the_user(machine):
    machine.install("docker")
    (machine.folder / "maps").mkdir()
    assert machine.launch("docker.sh", "run", "--accelerator=cuda", "--data=maps", *PROGRAM).returncode == 0
    [call] = machine.calls
    assert {"--gpus=all", "--rm", f"--volume={machine.folder}/maps:/clusterjax/data:ro"} <= set(call)
    assert f"--volume={machine.folder}/runs:/clusterjax/runs" in call
    assert call[-2:] == ["clusterjax:cuda", PROGRAM[1]]


def test_a_build_that_fails_says_so(machine):
    machine.install("docker", 'echo "no space left on device" >&2; exit 1')
    result = machine.launch("docker.sh", "build", "--accelerator=cuda")
    assert result.returncode == 1
    assert "--build-arg=ACCELERATOR=cuda" in machine.calls[0]
