# What an application team adds to its launch template and its Auto Scaling group. Instances get no key and no way to
# anywhere but the share.

locals {
  kit  = "${path.module}/../../../instance"
  hook = "outlast-final-drop"
  mine = var.share.workloads[var.workload]

  # A recipe is a command of its own and comes first; all other words come last.
  recipe = can(regex("^[a-z]+$", var.drop[0])) ? [var.drop[0]] : []
  rest   = slice(var.drop, length(local.recipe), length(var.drop))
  words  = concat(local.recipe, ["--share", "/mnt/share", "--workload", var.workload])

  drop = <<-END
    #!/bin/sh
    # What this instance drops; made by Terraform.
    set -eu
    exec outlast drop ${join(" ", local.words)} --instance "$(hostname)" "$@" ${join(" ", [for word in local.rest : "'${word}'"])}
  END

  environment = <<-END
    WATCH_OPTIONS="--platform=aws --deadline=${var.deadline_minutes}m --complete-with=/usr/local/lib/outlast/complete-lifecycle-action --heartbeat-with=/usr/local/lib/outlast/complete-lifecycle-action"
    LIFECYCLE_GROUP=${var.group_name}
    LIFECYCLE_HOOK=${local.hook}
  END

  # The units of the kit, with what is said here beside them.
  units = {
    "mnt-share.mount" = replace(replace(file("${local.kit}/systemd/aws-efs.mount"),
    "fs-0123456789abcdef0", var.share.file_system_id), "fsap-0123456789abcdef0", local.mine.access_point_id)
    "outlast-instance.service" = file("${local.kit}/systemd/outlast-instance.service")
    "outlast-drop.service"     = file("${local.kit}/systemd/outlast-drop.service")
    "outlast-drop.timer"       = replace(file("${local.kit}/systemd/outlast-drop.timer"), "*-*-* 02:00:00", var.schedule)
    "outlast-instance.service.d/release.conf" = join("\n", [
      "[Unit]", "After=${join(" ", var.after)}", "[Service]", "TimeoutStopSec=${var.deadline_minutes + 3}min", "",
    ])
  }

  user_data = join("\n", ["#cloud-config", yamlencode({
    packages = ["amazon-efs-utils"]
    write_files = concat(
      [
        { path = "/etc/outlast/drop", permissions = "0755", content = local.drop },
        { path = "/etc/outlast/instance.env", permissions = "0644", content = local.environment },
        {
          path        = "/usr/local/lib/outlast/complete-lifecycle-action"
          permissions = "0755"
          content     = file("${local.kit}/complete-lifecycle-action")
        },
      ],
      [for name, text in local.units : { path = "/etc/systemd/system/${name}", permissions = "0644", content = text }],
    )
    runcmd = [
      ["install", "-d", "-m", "0755", "/mnt/share"],
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "--now", "mnt-share.mount"],
      ["systemctl", "enable", "--now", "outlast-drop.timer", "outlast-instance.service"],
    ]
  })])
}

data "aws_partition" "current" {}

# One access point, and none of another workload: that is who the instances are on the share.
data "aws_iam_policy_document" "workload" {
  statement {
    sid       = "ItsDrops"
    actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    resources = [var.share.file_system_arn]
    condition {
      test     = "StringEquals"
      variable = "elasticfilesystem:AccessPointArn"
      values   = [local.mine.access_point_arn]
    }
  }
  statement {
    sid       = "ItsEnd"
    actions   = ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"]
    resources = ["arn:${data.aws_partition.current.partition}:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/${var.group_name}"]
  }
}

resource "aws_iam_role_policy" "workload" {
  name   = "outlast-${var.workload}"
  role   = var.role_name
  policy = data.aws_iam_policy_document.workload.json
}

# The group waits for the final drop; if nobody tells it, the instance ends all the same.
resource "aws_autoscaling_lifecycle_hook" "final_drop" {
  name                   = local.hook
  autoscaling_group_name = var.group_id
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout      = (var.deadline_minutes + 5) * 60
  default_result         = "CONTINUE"
}
