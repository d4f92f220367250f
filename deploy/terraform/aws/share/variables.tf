variable "name" {
  description = "What everything is called after, such as outlast."
  type        = string
  default     = "outlast"
}

variable "vpc_id" {
  description = "The VPC in which instances and the agent run."
  type        = string
}

variable "subnet_ids" {
  description = "The subnets that get a mount target each: one for each availability zone in which anything mounts the share. With one_zone, one subnet in that zone."
  type        = map(string)
}

variable "one_zone" {
  description = "An availability zone such as eu-central-1a: the share is kept there alone, at about half the price. Null: in all zones. Drops are on the share for hours; what is not vaulted yet is lost with the zone."
  type        = string
  default     = null
}

variable "throughput_mode" {
  description = <<-END
    bursting, provisioned or elastic. bursting pays speed by what lies there: enough where the newest drops stay (the agent's keep),
    and 1 MiB/s (about 63 GiB of drops a day) once its credits are used up where next to nothing does. elastic bills every byte that is
    written and read, which is the dearest way for backups. provisioned is a fixed sum a month: 10 MiB/s carry 100 GB of drops in about
    four hours. `outlast plan` reckons all three for your drops.
  END
  type        = string
  default     = "provisioned"
  validation {
    condition     = contains(["bursting", "provisioned", "elastic"], var.throughput_mode)
    error_message = "throughput_mode is bursting, provisioned or elastic."
  }
}

variable "provisioned_mibps" {
  description = "With throughput_mode = provisioned: MiB/s. Writing counts whole, reading a third."
  type        = number
  default     = 10
  validation {
    condition     = var.provisioned_mibps >= 1 && var.provisioned_mibps <= 3414
    error_message = "provisioned_mibps is 1 to 3414."
  }
}

variable "kms_key_arn" {
  description = "The key that encrypts the share. Null: the account's own key for EFS."
  type        = string
  default     = null
}

variable "agent_uid" {
  description = "The number under which the agent reads and writes, whoever it is on its host."
  type        = number
  default     = 10000
}

variable "workloads" {
  description = "The workloads that drop here, each with a number that no other one has. The number is who they are on the share: it is never given to another workload."
  type        = map(object({ uid = number }))
  validation {
    condition     = alltrue([for name, _ in var.workloads : can(regex("^[a-z0-9][a-z0-9._-]{0,62}$", name))])
    error_message = "A workload's name is 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit."
  }
  validation {
    condition     = length(distinct([for w in values(var.workloads) : w.uid])) == length(var.workloads)
    error_message = "Two workloads have the same uid: they could write each other's drops."
  }
  validation {
    condition     = alltrue([for w in values(var.workloads) : w.uid > 0])
    error_message = "A workload's uid is greater than 0: root may write everywhere."
  }
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
